/* SPDX-License-Identifier: BSD-2-Clause */
/* What a worker prints, and its standard output itself. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attack.h"

/* Makes standard output long, as if it were a file. */
ATTACK(long_output)
{
	for (;;) {
		if (ftruncate(STDOUT_FILENO, 1L << 62) < 0 &&
		    ftruncate(STDERR_FILENO, 1L << 40) < 0)
			usleep(1000);
		usleep(1000);
	}
}

/* Prints as much as it can. */
ATTACK(flood_of_lines)
{
	static char text[65536];

	memset(text, 'x', sizeof(text));
	for (size_t i = 99; i < sizeof(text); i += 100)
		text[i] = '\n';
	for (;;)
		if (write(STDOUT_FILENO, text, sizeof(text)) < 0)
			usleep(1000);
}

/* Sets every flag and size that a pipe has, and prints NULs, endless lines and single bytes. */
ATTACK(odd_output)
{
	static const char nuls[4096], dot[] = ".";
	static const int flags[] = {O_NONBLOCK, O_ASYNC, O_DIRECT, O_APPEND, O_NOATIME, 0};

	for (unsigned int i = 0;; i++) {
		const int fd = i % 2 ? STDOUT_FILENO : STDERR_FILENO;

		fcntl(fd, F_SETFL, flags[i % 6] | flags[i / 6 % 6]);
		fcntl(fd, F_SETOWN, getppid());
		fcntl(fd, F_SETPIPE_SZ, i % 3 ? 1 << 20 : 4096);
		for (int n = 0; n < 100; n++)
			if (write(fd, n % 2 ? dot : nuls, n % 2 ? 1 : sizeof(nuls)) < 0)
				usleep(1000);
		if (i % 50 == 0 && write(fd, "\n", 1) < 0)
			usleep(1000);
	}
}
