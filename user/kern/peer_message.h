/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AF_UNIX sockets with an untrusted peer. A message may bring descriptors (SCM_RIGHTS). The kernel
 * closes the descriptors that we don't take while it receives the message. If no other process has
 * the file open, closing it can take as long as the sender likes: a TCP socket with SO_LINGER waits
 * until its data is acknowledged. These functions interrupt that after some milliseconds.
 *
 * Closing a file that was deleted can take long, too, and can't be interrupted. Linux 6.16 can
 * refuse messages with descriptors.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct ucred;

/* From now on, messages with descriptors fail with EPERM at the sender, where the kernel has
 * SO_PASSRIGHTS. Not for sd_notify(3): sd_notify_barrier(3) sends descriptors. */
void peer_message_refuse_files(int fd);

/* Receives a message, without waiting for it. Its descriptors are closed. @ret_sender, which may be
 * NULL: the sender, if the socket has SO_PASSCRED; else pid 0. Returns the length, which is greater
 * than @size if the text does not fit; 0 at the end of a stream; or a negative errno, -EAGAIN if
 * there is no message. */
ssize_t peer_message_receive(int fd, void *buf, size_t size, struct ucred *ret_sender);

/* Closes the socket, and with it the descriptors in messages that were not received. -1 is fine. */
void peer_message_close(int fd);
