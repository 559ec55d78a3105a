/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_message.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

union log_message_control {
	struct cmsghdr header; /* for its alignment */
	char text[CMSG_SPACE(LOG_MESSAGE_FDS * sizeof(int))];
};

static size_t log_message_count_fds(enum log_message_kind kind, const int fds[LOG_MESSAGE_FDS])
{
	switch (kind) {
	case LOG_MESSAGE_ADD:
		return fds[LOG_MESSAGE_CHANNEL] < 0 ? 2 : LOG_MESSAGE_FDS;
	case LOG_MESSAGE_MOVE:
		return 1;
	default:
		return 0;
	}
}

int log_message_send(int fd, const struct log_message *message, const int fds[LOG_MESSAGE_FDS])
{
	struct iovec part = {(void *)message, sizeof(*message)};
	union log_message_control control = {};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	const size_t size = log_message_count_fds(message->kind, fds) * sizeof(int);

	if (size) {
		struct cmsghdr *rights;

		header.msg_control = control.text;
		header.msg_controllen = CMSG_SPACE(size);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(rights), fds, size);
	}
	if (message->kind != LOG_MESSAGE_ADD)
		part.iov_len = offsetof(struct log_message, prefix);
	return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Returns their number. */
static size_t log_message_take_fds(struct msghdr *header, int ret_fds[LOG_MESSAGE_FDS])
{
	const struct cmsghdr *rights = CMSG_FIRSTHDR(header);

	for (int i = 0; i < LOG_MESSAGE_FDS; i++)
		ret_fds[i] = -1;
	if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
		return 0;
	memcpy(ret_fds, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
	return (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

int log_message_receive(int fd, struct log_message *ret, int ret_fds[LOG_MESSAGE_FDS])
{
	struct iovec part = {ret, sizeof(*ret)};
	union log_message_control control;
	struct msghdr header = {.msg_iov = &part,
	                        .msg_iovlen = 1,
	                        .msg_control = control.text,
	                        .msg_controllen = sizeof(control.text)};
	size_t n_fds;
	ssize_t n;

	do {
		n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	n_fds = log_message_take_fds(&header, ret_fds);
	if (n < (ssize_t)offsetof(struct log_message, prefix) ||
	    (ret->kind == LOG_MESSAGE_ADD && n != sizeof(*ret)) ||
	    n_fds != log_message_count_fds(ret->kind, ret_fds))
		return -EBADMSG;
	return 1;
}
