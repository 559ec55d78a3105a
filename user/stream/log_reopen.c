/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_reopen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "stream/log_target.h"

#define DONE     "done"
#define ANSWER_S 20

/* --- in the log process */

int log_reopen(struct log_process *log, struct error *err)
{
	int result = 0;

	for (struct log_target *target = log->targets; target; target = target->next) {
		int r = log_target_reopen(target, result ? NULL : err);

		if (!result)
			result = r;
	}
	return result;
}

static int log_reopen_on_connection(sd_event_source *source, int listener, uint32_t events,
                                    void *data)
{
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct error err = {};

	if (fd < 0)
		return 0;
	if (log_reopen(data, &err) == 0)
		strcpy(err.text, DONE);
	send(fd, err.text, strlen(err.text), MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

int log_reopen_listen(struct log_process *log)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const mode_t mask = umask(0177); /* only root and our own user may connect */
	int r = 0;

	log->on_reopen = sd_event_source_disable_unref(log->on_reopen);
	unlinkat(log->dir_fd, LOG_REOPEN_SOCKET, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" LOG_REOPEN_SOCKET,
	         log->dir_fd);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		r = -errno;
	umask(mask);
	if (r == 0)
		r = sd_event_add_io(log->loop, &log->on_reopen, fd, EPOLLIN,
		                    log_reopen_on_connection, log);
	if (r >= 0)
		r = sd_event_source_set_io_fd_own(log->on_reopen, true);
	if (r >= 0)
		TAKE_FD(fd);
	return r;
}

/* --- in a command */

int log_reopen_ask(const char *path, struct error *err)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[ERROR_TEXT_MAX];
	ssize_t n;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, -errno, "can't reach the log process by %s: %s", path,
		                 strerror(errno));
	n = recv(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return error_set(err, -errno, "the log process has not answered: %s",
		                 strerror(errno));
	text[n] = '\0';
	if (!n)
		return error_set(err, -ECONNRESET, "the log process has ended before it answered");
	return strcmp(text, DONE) != 0 ? error_set(err, -ECANCELED, "%s", text) : 0;
}
