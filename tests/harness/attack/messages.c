/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages to the supervisor without end: on the Node channel, to the socket of sd_notify(3), on
 * standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

static int messages_channel(void)
{
	const char *number = getenv("NODE_CHANNEL_FD");

	return number ? atoi(number) : -1;
}

static void messages_repeat(int fd, const char *text)
{
	static char block[65536];
	const size_t n = strlen(text);
	size_t filled = 0;

	for (; filled + n <= sizeof(block); filled += n)
		memcpy(block + filled, text, n);
	for (;;)
		if (write(fd, block, filled) < 0)
			usleep(1000);
}

/* Lines of JSON that nests without end. */
ATTACK(nested_messages)
{
	messages_repeat(messages_channel(), "[[[[[1\n");
}

/* A single line without end. */
ATTACK(endless_message)
{
	messages_repeat(messages_channel(), "[[[[[1");
}

/* Sends what only shows as readable: read() does not return out-of-band data. */
ATTACK(out_of_band_message)
{
	const int fd = messages_channel();

	for (;;) {
		send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
		usleep(1000000);
	}
}

/* Says without end that it is ready. */
ATTACK(ready_messages)
{
	messages_repeat(messages_channel(), "\"ready\"\n");
}

ATTACK(output)
{
	messages_repeat(STDOUT_FILENO, "y\n");
}

/* Sends READY=1 to the socket @arguments[0], as fast as it is read. */
ATTACK(notifications)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (arguments[0])
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", arguments[0]);
	for (;;)
		if (sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof(address)) < 0)
			usleep(1000);
}
