/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that the supervisor reads: each attack puts something else in the place of file PATH, and
 * prints "done". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attack.h"

static void files_end(const char *what, int r)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	puts("done");
	fflush(stdout);
	for (;;)
		pause();
}

/* PATH: a FIFO that no process writes to. */
ATTACK(file_is_fifo)
{
	unlink(arguments[0]);
	files_end("mkfifo", mkfifo(arguments[0], 0666));
}

/* PATH TARGET: a link to a file that only root may read. */
ATTACK(file_is_link)
{
	unlink(arguments[0]);
	files_end("symlink", symlink(arguments[1], arguments[0]));
}

/* PATH: a file of 500 MB, which takes no room on the disk. */
ATTACK(file_is_huge)
{
	const int fd = open(arguments[0], O_WRONLY | O_CREAT | O_TRUNC, 0644);

	files_end("ftruncate", fd < 0 ? -1 : ftruncate(fd, 500 << 20));
}
