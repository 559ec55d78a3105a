/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/held_fds.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

union held_fds_control {
	char buf[CMSG_SPACE(HELD_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int held_fds_send(int socket, const int *fds, size_t n)
{
	union held_fds_control control = {};
	struct iovec part = {"", 1};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = control.buf,
	                         .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(header), fds, n * sizeof(int));
	return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

enum held_child_result held_fds_run(struct held_child_call *call, void *data, size_t size,
                                    int *socket, int *ret_ours)
{
	_cleanup_close_ int ours = -1;
	_cleanup_close_ int theirs = -1;
	enum held_child_result result;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
		return HELD_CHILD_REFUSED;
	ours = pair[0];
	*socket = call->keep[0] = theirs = pair[1];
	result = held_child_run(call, data, size);
	if (result == HELD_CHILD_DONE)
		*ret_ours = TAKE_FD(ours);
	return result;
}

/* The kernel leaves out those that exceed our limit of open files. */
int held_fds_receive(int ours, int *ret, size_t n)
{
	_cleanup_close_ int from = ours;
	union held_fds_control control = {};
	struct iovec part = {&(char){0}, 1};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = control.buf,
	                         .msg_controllen = sizeof(control.buf)};
	const struct cmsghdr *header;
	size_t got = 0;

	if (recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS) {
		got = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret, CMSG_DATA(header), got * sizeof(int));
	}
	if (got == n)
		return 0;
	for (size_t i = 0; i < got; i++)
		close(ret[i]);
	return -EMFILE;
}
