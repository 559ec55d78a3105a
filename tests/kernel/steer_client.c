/* SPDX-License-Identifier: BSD-2-Clause */
#include "steer_client.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MARKS 0x7f010000u /* 127.1.0.0/16 */

union address address_v4(uint32_t host)
{
	return (union address){.in = {.sin_family = AF_INET, .sin_addr = {htonl(host)}}};
}

union address address_v6(const struct in6_addr *a)
{
	return (union address){.in6 = {.sin6_family = AF_INET6, .sin6_addr = *a}};
}

union address address_marked(unsigned int mark)
{
	return address_v4(MARKS + mark);
}

unsigned int address_mark(const union address *a)
{
	const uint32_t host = ntohl(a->in.sin_addr.s_addr);

	return a->sa.sa_family == AF_INET && (host & 0xffff0000u) == MARKS ? host & 0xffff : 0;
}

uint16_t address_port(const union address *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

union address client_target(const struct bed *bed, unsigned int endpoint, int family)
{
	const uint16_t port = htons(bed->steer.service->endpoints[endpoint].port);
	union address a =
	        family == AF_INET6 ? address_v6(&in6addr_loopback) : address_v4(INADDR_LOOPBACK);

	if (family == AF_INET6)
		a.in6.sin6_port = port;
	else
		a.in.sin_port = port;
	return a;
}

int client_connect(const struct bed *bed, unsigned int endpoint, int family,
                   const union address *from)
{
	const union address to = client_target(bed, endpoint, family);
	_cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval deadline = {.tv_sec = BED_DEADLINE_S};
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

	if (fd < 0)
		check_failed(__FILE__, __LINE__, "can't connect: %s", strerror(-fd));
	return fd;
}

void client_reset(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
	           sizeof(struct linger));
	close(fd);
}

int server_accept(struct bed *bed, unsigned int listener)
{
	struct bed_listener *it = &bed->listeners[listener];
	union address client;
	socklen_t length = sizeof(client);
	const int fd = accept4(it->fd, &client.sa, &length, SOCK_CLOEXEC);

	if (fd < 0)
		return -1;
	it->taken++;
	if (it->newest < address_mark(&client)) /* a listener is accepted from by one thread */
		it->newest = address_mark(&client);
	return fd;
}

void server_collect(struct bed *bed, unsigned int n)
{
	const int64_t end = bed_clock_ms() + BED_DEADLINE_S * 1000;
	unsigned int seen = 0;

	while (seen < n) {
		for (unsigned int i = 0; i < bed->n_listeners; i++)
			for (int fd; (fd = server_accept(bed, i)) >= 0; seen++)
				close(fd);
		if (bed_clock_ms() > end)
			check_failed(__FILE__, __LINE__, "%u connections came, not %u", seen, n);
	}
	CHECK_EQ(seen, n);
}

unsigned int server_taken(const struct bed *bed, unsigned int listener)
{
	return bed->listeners[listener].taken;
}

unsigned int visit_from(struct bed *bed, unsigned int endpoint, int family,
                        const union address *from)
{
	const int client = client_connect(bed, endpoint, family, from);
	struct epoll_event event;
	unsigned int listener;
	char byte;
	int server;

	if (client < 0)
		check_failed(__FILE__, __LINE__, "can't connect: %s", strerror(-client));
	CHECK_EQ(epoll_wait(bed->epfd, &event, 1, BED_DEADLINE_S * 1000), 1);
	listener = event.data.u32;
	server = server_accept(bed, listener);
	CHECK(server >= 0);
	/* If both closed, the last packet of one of them could find no socket, and the program
	 * would run for it. */
	client_reset(client);
	CHECK_EQ(read(server, &byte, 1), -1);
	close(server);
	return listener;
}

unsigned int visit(struct bed *bed, unsigned int n)
{
	unsigned int listener = 0;

	for (unsigned int i = 0; i < n; i++)
		listener = visit_from(bed, 0, AF_INET, NULL);
	return listener;
}
