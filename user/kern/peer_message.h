/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AF_UNIX sockets whose peer is not trusted. A message may bring descriptors (SCM_RIGHTS), and the
 * kernel closes those that we don't take while it receives the message. If no other process has the
 * file open, closing it can take as long as the sender likes: a TCP socket with SO_LINGER waits
 * until its data is acknowledged. These functions interrupt that after some milliseconds.
 *
 * Linux 6.16 can refuse such messages (SO_PASSRIGHTS), but sd_notify_barrier(3) needs them.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct ucred;

/* Receives a message, without waiting for it. Its descriptors are closed. @ret_sender, which may be
 * NULL: the sender, if the socket has SO_PASSCRED; else pid 0. Returns the length, which is greater
 * than @size if the text does not fit; 0 at the end of a stream; or a negative errno, -EAGAIN if
 * there is no message. */
ssize_t peer_message_receive(int fd, void *buf, size_t size, struct ucred *ret_sender);

/* Closes the socket, and with it the descriptors in messages that were not received. -1 is fine. */
void peer_message_close(int fd);
