/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients of the metrics that keep the exporter's connections. Argument: the port. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

#define CONNECTIONS 400
#define PAUSE_MS    10

#define REQUEST "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"

/* Connects from 127.0.0.@from, if @from is not 0. */
static int http_connect(const char *port, unsigned int from, int receive_buffer)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	struct sockaddr_in source = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	source.sin_addr.s_addr = htonl(0x7f000000 | from);
	if (receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	if (from)
		bind(fd, (struct sockaddr *)&source, sizeof(source));
	connect(fd, (struct sockaddr *)&to, sizeof(to));
	return fd;
}

static int http_has_ended(int fd)
{
	struct pollfd end = {.fd = fd, .events = POLLRDHUP};

	return fd < 0 || (poll(&end, 1, 0) > 0 && end.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Keeps all connections open: each that has ended is opened again. */
static void http_attack(char **arguments, int addresses, const char *request, const char *more,
                        int receive_buffer)
{
	int fds[CONNECTIONS];

	memset(fds, -1, sizeof(fds));
	for (;;) {
		for (int i = 0; i < CONNECTIONS; i++) {
			if (http_has_ended(fds[i])) {
				close(fds[i]);
				fds[i] = http_connect(arguments[0], addresses ? i % 250 + 2 : 0,
				                      receive_buffer);
				poll(&(struct pollfd){.fd = fds[i], .events = POLLOUT}, 1, 100);
				send(fds[i], request, strlen(request), MSG_NOSIGNAL);
			} else {
				send(fds[i], more, strlen(more), MSG_NOSIGNAL);
			}
		}
		usleep(PAUSE_MS * 1000);
	}
}

ATTACK(http_idle)
{
	http_attack(arguments, 0, "", "", 0);
}

ATTACK(http_slow_headers)
{
	http_attack(arguments, 0, REQUEST "X: ", "x", 0);
}

ATTACK(http_many_addresses)
{
	http_attack(arguments, 1, "", "", 0);
}

/* Asks for the metrics, and never reads the answer. */
ATTACK(http_slow_reader)
{
	http_attack(arguments, 0, REQUEST "\r\n", "", 1);
}
