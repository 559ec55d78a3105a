/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket of a service. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

/* @arguments: the path of the socket. Asks the supervisor to stop its service. Prints "connected"
 * if the socket has accepted it once. */
ATTACK(control_stop)
{
	static const char request[] = "{\"do\": \"stop\"}\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", arguments[0]);
	puts("asking");
	fflush(stdout);
	for (;; usleep(1000)) {
		const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
			send(fd, request, strlen(request), MSG_NOSIGNAL);
			puts("connected");
			fflush(stdout);
		}
		close(fd);
	}
}
