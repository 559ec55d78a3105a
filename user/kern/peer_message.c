/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/peer_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/held_child.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* from asm-generic/socket.h of Linux 6.16 */
#endif

#define FILES_MAX    253 /* of one message: SCM_MAX_FD of the kernel */
#define HELD_MAX     16  /* children that can't end, of peer_message_receive() */
#define HELD_ALL     64  /* and of peer_message_shut() */
#define SHUT_SIZE    16384
#define MESSAGES_MAX 1024 /* for one child */

/* What a child receives: one message, or all. */
struct peer_message_task {
	int fd;
	size_t size;
	bool all;
	/* By the child: */
	ssize_t n; /* of the last message; -1: none */
	bool empty;
	char text[];
};

union peer_message_control {
	char buf[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FILES_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* --- in the child */

static size_t peer_message_count_files(struct msghdr *message)
{
	size_t n = 0;

	for (struct cmsghdr *it = CMSG_FIRSTHDR(message); it; it = CMSG_NXTHDR(message, it))
		if (it->cmsg_level == SOL_SOCKET && it->cmsg_type == SCM_RIGHTS)
			n += (it->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	return n;
}

/* If there is no room for a descriptor, the kernel closes it before it returns here: so there must
 * be room for all descriptors of a message. */
static void peer_message_run_child(void *data)
{
	struct peer_message_task *task = data;
	union peer_message_control control;
	struct rlimit room = {};

	getrlimit(RLIMIT_NOFILE, &room);
	room.rlim_cur = room.rlim_max;
	setrlimit(RLIMIT_NOFILE, &room);
	for (size_t i = 0; i < MESSAGES_MAX && room.rlim_cur > FILES_MAX; i++) {
		struct iovec part = {task->text, task->size};
		struct msghdr message = {
		        .msg_iov = &part,
		        .msg_iovlen = 1,
		        .msg_control = control.buf,
		        .msg_controllen = sizeof(control.buf),
		};
		const ssize_t n = recvmsg(task->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		task->empty = n < 0;
		if (n < 0)
			break;
		task->n = n;
		if (!task->all)
			break;
		room.rlim_cur -= peer_message_count_files(&message);
	}
	close(task->fd);
}

/* @buf: for the message, or NULL. Returns whether there was one. */
static bool peer_message_start_child(struct peer_message_task *task, void *buf)
{
	const size_t size = sizeof(*task) + task->size;
	_cleanup_free_ struct peer_message_task *shared = calloc(1, size);
	const struct held_child_call call = {.run = peer_message_run_child,
	                                     .keep = {task->fd, -1},
	                                     .max = task->all ? HELD_ALL : HELD_MAX};

	if (!shared)
		return false;
	*shared = *task;
	shared->n = -1;
	if (held_child_run(&call, shared, size) != HELD_CHILD_DONE)
		return false;
	*task = *shared;
	if (buf && task->n > 0)
		memcpy(buf, shared->text,
		       (size_t)task->n < task->size ? (size_t)task->n : task->size);
	return task->n >= 0;
}

/* --- receiving */

bool peer_message_refuse_files(int fd)
{
	const int off = 0;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) == 0;
}

void peer_message_take_urgent(int fd)
{
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

/* Reads the next message, which stays in the queue, and its files with it. The kernel says that
 * there is no room for its files. What is read of a stream ends after the first part with files. */
static ssize_t peer_message_peek(int fd, void *buf, size_t size, bool *ret_files,
                                 struct ucred *ret_sender)
{
	/* Room for credentials only, which the kernel puts first. */
	union {
		char buf[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control = {};
	struct iovec part = {buf, size};
	struct msghdr message = {
	        .msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = ret_sender ? control.buf : NULL,
	        .msg_controllen = ret_sender ? sizeof(control.buf) : 0,
	};
	const ssize_t n = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
	const struct cmsghdr *header;

	if (n < 0)
		return -errno;
	*ret_files = message.msg_flags & MSG_CTRUNC;
	if (!ret_sender)
		return n;
	*ret_sender = (struct ucred){};
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
		memcpy(ret_sender, CMSG_DATA(header), sizeof(*ret_sender));
	return n;
}

int peer_message_receive(int fd, void *buf, size_t size, size_t *ret_n, struct ucred *ret_sender)
{
	bool files = false;
	const ssize_t n = peer_message_peek(fd, buf, size, &files, ret_sender);
	struct peer_message_task task = {.fd = fd};

	if (n == -EAGAIN || n == -EINTR)
		return PEER_MESSAGE_NONE;
	if (n < 0)
		return (int)n;
	/* No more than was seen. */
	task.size = (size_t)n < size ? (size_t)n : size;
	if (!files)
		task.n = recv(fd, buf, task.size, MSG_DONTWAIT);
	else if (!peer_message_start_child(&task, buf))
		return PEER_MESSAGE_STUCK;
	if (task.n < 0)
		return PEER_MESSAGE_NONE;
	*ret_n = (size_t)n > size ? (size_t)n : (size_t)task.n;
	return PEER_MESSAGE_TAKEN;
}

/* --- closing */

/* A message without text is not the end of a datagram socket. */
static bool peer_message_is_empty(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);
	char byte;
	const ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n < 0 || (n == 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	                 type == SOCK_STREAM);
}

void peer_message_shut(int fd)
{
	struct peer_message_task task = {.fd = fd, .size = SHUT_SIZE, .all = true};

	if (fd < 0)
		return;
	shutdown(fd, SHUT_RD); /* nothing is added to the queue from now on */
	while (!task.empty && !peer_message_is_empty(fd)) {
		if (peer_message_start_child(&task, NULL))
			continue;
		fcntl(fd, F_DUPFD, 0); /* stays open, also after exec(): no close is the last */
		return;
	}
}

void peer_message_close(int fd)
{
	if (fd < 0)
		return;
	peer_message_shut(fd);
	close(fd);
}
