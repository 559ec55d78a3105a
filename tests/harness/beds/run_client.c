/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/run_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

int run_client_connect(const struct rpd_endpoint *endpoint)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	                         .sin_port = htons(endpoint->port),
	                         .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
	                           .sin6_port = htons(endpoint->port),
	                           .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const struct timeval deadline = {.tv_sec = DEADLINE_S};
	const bool v6 = endpoint->family == AF_INET6;
	_cleanup_close_ int fd = socket(endpoint->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0 ||
	    connect(fd, v6 ? (void *)&in6 : (void *)&in, v6 ? sizeof(in6) : sizeof(in)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int run_client_open(unsigned int e)
{
	const int fd = run_client_connect(run_service_endpoint(e));

	CHECK_MSG(fd >= 0, "can't connect: %s", strerror(-fd));
	return fd;
}

void run_client_send(int fd, size_t n)
{
	_cleanup_free_ char *text = malloc(n);

	CHECK(text);
	memset(text, 'x', n - 1);
	text[n - 1] = '\n';
	CHECK_EQ(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

long run_client_answer(int fd, pid_t *ret_pid)
{
	char answer[64] = "";
	size_t n = 0;
	ssize_t got;
	long read_there;
	int pid;

	do {
		got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0 && n < sizeof(answer) - 1);
	got = got < 0 ? -errno : 0;
	close(fd);
	if (got < 0)
		return got;
	if (sscanf(answer, "%ld %d", &read_there, &pid) != 2)
		return -ENODATA;
	if (ret_pid)
		*ret_pid = pid;
	return read_there;
}

pid_t run_client_visit(unsigned int e)
{
	const int fd = run_client_open(e);
	pid_t pid;

	run_client_send(fd, 2);
	CHECK_EQ(run_client_answer(fd, &pid), 2);
	return pid;
}

void run_client_reset(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
	           sizeof(struct linger));
	close(fd);
}

bool run_client_is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}
