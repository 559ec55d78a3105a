/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that cost a supervisor time: many to look at, or slow to close. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

#define WATCHES_SIDE 1000 /* the watches are the square of it */

/* Returns a listener on @port of all addresses. */
static int descriptors_listen(const char *port)
{
	const struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)atoi(port)),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4096) < 0)
		perror("attack: listen");
	return fd;
}

/* Watches a million files by one epoll descriptor, and the listener on port @arguments[0]. A watch
 * is a file together with a number, so a thousand of each suffice. */
ATTACK(epoll_watches)
{
	const struct rlimit limit = {4 * WATCHES_SIDE, 4 * WATCHES_SIDE};
	struct epoll_event event = {.events = EPOLLIN};
	const int epfd = epoll_create1(EPOLL_CLOEXEC);
	int fd;

	setrlimit(RLIMIT_NOFILE, &limit);
	for (int file = 0; file < WATCHES_SIDE; file++) {
		fd = eventfd(0, EFD_CLOEXEC);
		for (int number = 0; number < WATCHES_SIDE; number++) {
			dup2(fd, 2 * WATCHES_SIDE + number);
			epoll_ctl(epfd, EPOLL_CTL_ADD, 2 * WATCHES_SIDE + number, &event);
		}
	}
	fd = descriptors_listen(arguments[0] ? arguments[0] : "0");
	epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
	for (;;)
		epoll_wait(epfd, &event, 1, -1);
}

/* Has @arguments[0] descriptors open, and does nothing. */
ATTACK(many_descriptors)
{
	const int n = arguments[0] ? atoi(arguments[0]) : 0;
	const struct rlimit limit = {(rlim_t)n + 16, (rlim_t)n + 16};

	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < n; i++)
		if (dup(0) < 0)
			perror("attack: dup");
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

/* A connected socket that takes a minute to close: data is left to be sent, and its peer does not
 * read. */
static int descriptors_open_lingering(const struct sockaddr_in *address)
{
	static char block[65536];
	const struct linger linger = {.l_onoff = 1, .l_linger = 60};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		perror("attack: connect");
	while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return fd;
}

void attack_send_file(int to, const struct sockaddr_un *address, const char *text, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec part = {(void *)text, strlen(text)};
	struct msghdr message = {
	        .msg_name = (void *)address,
	        .msg_namelen = address ? sizeof(*address) : 0,
	        .msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = control.buf,
	        .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(to, &message, MSG_NOSIGNAL) < 0)
		usleep(1000);
	close(fd);
}

/* Sends such sockets without end, so that only the receiver has them open and has to close them: to
 * the socket of sd_notify(3) @arguments[0], or on the Node channel. */
ATTACK(lingering_descriptors)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sockaddr_in peer = {};
	socklen_t size = sizeof(peer);
	const int listener = descriptors_listen("0");
	const char *number = getenv("NODE_CHANNEL_FD");
	const int to = arguments[0] ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
	                            : atoi(number ? number : "-1");

	if (arguments[0])
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", arguments[0]);
	getsockname(listener, (struct sockaddr *)&peer, &size);
	for (;;) {
		const int fd = descriptors_open_lingering(&peer);

		attack_send_file(to, arguments[0] ? &address : NULL, "\n", fd);
	}
}
