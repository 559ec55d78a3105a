/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/client.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "steering/server.h"

union socket_address client_target(const struct bed *bed, unsigned int endpoint, int family)
{
	union socket_address a = family == AF_INET6 ? socket_address_v6(&in6addr_loopback)
	                                            : socket_address_v4(INADDR_LOOPBACK);

	socket_address_set_port(&a, bed->steer.service->endpoints[endpoint].port);
	return a;
}

int client_connect(const struct bed *bed, unsigned int endpoint, int family,
                   const union socket_address *from)
{
	const union socket_address to = client_target(bed, endpoint, family);
	_cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval deadline = {.tv_sec = DEADLINE_S};
	const int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0)
		return -errno;
	if (from && (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
	             bind(fd, &from->sa, sizeof(*from)) < 0))
		return -errno;
	if (connect(fd, &to.sa, sizeof(to)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int client_hold(const struct bed *bed)
{
	const int fd = client_connect(bed, 0, AF_INET, NULL);

	CHECK_MSG(fd >= 0, "can't connect: %s", strerror(-fd));
	return fd;
}

void client_reset(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
	           sizeof(struct linger));
	close(fd);
}

bool client_is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

unsigned int client_visit_from(struct bed *bed, unsigned int endpoint, int family,
                               const union socket_address *from)
{
	const int client = client_connect(bed, endpoint, family, from);
	struct epoll_event event;
	unsigned int listener;
	char byte;
	int server;

	CHECK_MSG(client >= 0, "can't connect: %s", strerror(-client));
	CHECK_EQ(epoll_wait(bed->epfd, &event, 1, DEADLINE_S * 1000), 1);
	listener = event.data.u32;
	server = server_accept(bed, listener);
	CHECK(server >= 0);
	/* If both ends closed, the last packet of one might find no socket, and the program would
	 * run for it. */
	client_reset(client);
	CHECK_EQ(read(server, &byte, 1), -1);
	close(server);
	return listener;
}

unsigned int client_visit(struct bed *bed, unsigned int n)
{
	unsigned int listener = 0;

	for (unsigned int i = 0; i < n; i++)
		listener = client_visit_from(bed, 0, AF_INET, NULL);
	return listener;
}
