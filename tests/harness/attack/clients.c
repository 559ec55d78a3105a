/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients of the supervisor's sockets. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

static int clients_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Keeps @arguments[1] connections to the control socket @arguments[0] open, and sends
 * @arguments[2], if given, on each. Opens one again when it is closed. Never reads. */
ATTACK(control_clients)
{
	const struct rlimit limit = {1 << 16, 1 << 16};
	const int n = arguments[0] && arguments[1] ? atoi(arguments[1]) : 0;
	int *fds = calloc((size_t)n + 1, sizeof(*fds));

	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; fds && i < n; i++)
		fds[i] = -1;
	for (;;) {
		for (int i = 0; fds && i < n; i++) {
			char byte;

			if (fds[i] >= 0 && recv(fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
				continue;
			close(fds[i]);
			fds[i] = clients_connect(arguments[0]);
			if (arguments[2])
				send(fds[i], arguments[2], strlen(arguments[2]), MSG_NOSIGNAL);
		}
		usleep(10000);
	}
}

/* Asks for the metrics on port @arguments[0] of the loopback address without pause. */
ATTACK(scrapes)
{
	static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
	const struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)(arguments[0] ? atoi(arguments[0]) : 0)),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	static char answer[65536];

	for (;;) {
		const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
			usleep(1000);
		else if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
			while (recv(fd, answer, sizeof(answer), 0) > 0)
				;
		close(fd);
	}
}
