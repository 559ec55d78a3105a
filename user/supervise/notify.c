/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/notify_message.h"

#define NOTIFY_TEXT_MAX 4096
#define NOTIFY_FDS_MAX  253 /* SCM_MAX_FD of the kernel */

struct notify {
	int fd;
	sd_event_source *source;
	notify_ready ready;
	void *data;
};

union control {
	char buf[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* Returns the sender's pid, from the kernel. Closes descriptors that come with the message:
 * sd_notify_barrier(3) waits for that. */
static uint32_t notify_take_control(struct msghdr *message)
{
	uint32_t pid = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			pid = ((struct ucred *)CMSG_DATA(c))->pid;
		for (size_t i = 0;
		     c->cmsg_type == SCM_RIGHTS && CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len;
		     i++)
			close(((int *)CMSG_DATA(c))[i]);
	}
	return pid;
}

static int notify_on_datagram(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct notify *notify = data;
	char text[NOTIFY_TEXT_MAX];
	union control control;
	struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr message = {
	        .msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = control.buf,
	        .msg_controllen = sizeof(control.buf),
	};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	uint32_t pid;

	if (n < 0)
		return 0;
	pid = notify_take_control(&message);
	if (pid && !(message.msg_flags & MSG_TRUNC) && notify_message_is_ready(text, n))
		notify->ready(pid, notify->data);
	return 0;
}

static int notify_open_socket(const char *path, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int on = 1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG, "%s is too long for a socket", path);
	strcpy(address.sun_path, path);
	unlink(path); /* left by a supervisor that was killed */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0666) < 0)
		return error_set(err, -errno, "can't create the socket %s: %s", path,
		                 strerror(errno));
	return TAKE_FD(fd);
}

int notify_new(sd_event *loop, const char *path, notify_ready ready, void *data,
               struct notify **ret, struct error *err)
{
	struct notify *notify = calloc(1, sizeof(*notify));
	int r;

	if (!notify)
		return error_set(err, -ENOMEM, "out of memory");
	notify->ready = ready;
	notify->data = data;
	notify->fd = r = notify_open_socket(path, err);
	if (r >= 0) {
		r = sd_event_add_io(loop, &notify->source, notify->fd, EPOLLIN, notify_on_datagram,
		                    notify);
		if (r < 0)
			error_set(err, r, "can't watch %s: %s", path, strerror(-r));
	}
	if (r < 0) {
		notify_free(notify);
		return r;
	}
	*ret = notify;
	return 0;
}

void notify_free(struct notify *notify)
{
	if (!notify)
		return;
	sd_event_source_disable_unref(notify->source);
	cleanup_close(&notify->fd);
	free(notify);
}
