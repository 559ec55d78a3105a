/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AF_UNIX sockets with an untrusted peer. A message may bring descriptors (SCM_RIGHTS). The kernel
 * closes the descriptors that we don't take while it receives the message, and those of messages
 * that are still unread when the socket is closed. If no other process has the file open,
 * closing it can take as long as the sender likes: a TCP socket with SO_LINGER waits until its data
 * is acknowledged, and a FUSE file until its server has written what was changed, which no signal
 * interrupts.
 *
 * So a message with descriptors is received by a child, which then ends: what is slow holds the
 * child, and a TCP socket doesn't linger in a process that ends. The child shares our memory until
 * it has received the message, so nothing is lost or handled twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ucred;

enum peer_message {
	PEER_MESSAGE_NONE,  /* there is no message now */
	PEER_MESSAGE_TAKEN, /* a message, or the end of a stream */
	/* There is one with descriptors, and too many children are held by earlier ones, or no
	 * child can be started. */
	PEER_MESSAGE_STUCK,
};

/* From now on, messages with descriptors fail with EPERM at the sender. Not for sd_notify(3):
 * sd_notify_barrier(3) sends descriptors. Returns false if the kernel is older than Linux 6.16,
 * which has SO_PASSRIGHTS. */
bool peer_message_refuse_files(int fd);

/* A stream: out-of-band data is received as other data. It would be skipped otherwise, and its
 * descriptors be closed in this process. */
void peer_message_take_urgent(int fd);

/* Receives a message, without waiting for it. Its descriptors are closed. @ret_n: its length, which
 * is greater than @size if the text of a datagram does not fit; 0 at the end of a stream, too.
 * @ret_sender, which may be NULL: the sender, if the socket has SO_PASSCRED; else pid 0. No other
 * process may receive from the socket. Returns an enum peer_message, or a negative errno if the
 * socket is of no use any more. */
int peer_message_receive(int fd, void *buf, size_t size, size_t *ret_n, struct ucred *ret_sender);

/* Ends the receiving side for all processes that have the socket open, and drops what has not been
 * received. From then on closing it is quick in each of them. -1 is fine. */
void peer_message_shut(int fd);

/* The same, and closes the descriptor. */
void peer_message_close(int fd);
