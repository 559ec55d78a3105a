/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners without end, each of which a supervisor may want to look at. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

static bool listening_shares; /* SO_REUSEPORT */

/* Returns the listener, or -1. @address_of_loopback: in host order. @port: 0 = any. */
static int listening_open_at(unsigned int address_of_loopback, unsigned int port)
{
	const struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)port),
	        .sin_addr.s_addr = htonl(address_of_loopback),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (listening_shares)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(fd, 1) == 0)
		return fd;
	close(fd);
	return -1;
}

static int listening_open(unsigned int port)
{
	return listening_open_at(INADDR_LOOPBACK, port);
}

/* Listens on any port and closes, over and over. */
ATTACK(listen_on_any_port)
{
	for (;;)
		close(listening_open(0));
}

/* The same on ports that it names, from 20000: a supervisor without --listen takes each for an
 * endpoint of the service. */
ATTACK(listen_on_named_ports)
{
	for (unsigned int i = 0;; i++)
		close(listening_open(20000 + i % 10000));
}

/* Keeps a port open on 200 addresses, each of which may be an endpoint of the service, and listens
 * on more of them and closes, over and over. */
ATTACK(listen_on_many_addresses)
{
	for (unsigned int i = 0; i < 200; i++)
		listening_open_at(INADDR_LOOPBACK + i, 20000);
	for (unsigned int i = 0;; i++)
		close(listening_open_at(INADDR_LOOPBACK + 256 + i % 10000, 20000));
}

/* Keeps the given number of listeners open, and listens 100 times a second on any port. */
ATTACK(keep_listeners)
{
	const struct rlimit limit = {1 << 16, 1 << 16};

	setrlimit(RLIMIT_NOFILE, &limit);
	for (int left = arguments[0] ? atoi(arguments[0]) : 0; left > 0; left--)
		listening_open(0);
	for (;;) {
		close(listening_open(0));
		usleep(10000);
	}
}

/* Keeps two listeners on each of the given number of ports, from 20000: of one group, or if
 * @arguments[1] is "addresses", of two. Or, if it is "join", in the group of port @arguments[2].
 * Each process has few enough for its file limit. */
ATTACK(keep_ports)
{
	enum { AT_ONCE = 200 };
	const unsigned int n = arguments[0] ? (unsigned int)atoi(arguments[0]) : 0;
	const char kind = arguments[1] ? arguments[1][0] : 'g';
	unsigned int i = 0;

	listening_shares = true;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; i < n; i++) {
		const unsigned int port =
		        kind == 'j' ? (unsigned int)atoi(arguments[2]) : 20000 + i;

		if (i && i % AT_ONCE == 0 && fork() > 0)
			break; /* the child has the rest */
		if (i && i % AT_ONCE == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			closefrom(3);
		}
		for (unsigned int twice = 0; twice < 2; twice++)
			listening_open_at(kind == 'j' ? INADDR_ANY
			                              : INADDR_LOOPBACK + (kind == 'a' && twice),
			                  port);
	}
	if (i == n) {
		puts("ready");
		fflush(stdout);
	}
	for (;;)
		pause();
}
