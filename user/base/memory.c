/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/memory.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Standard error may be a pipe that no process reads. */
__attribute__((noreturn)) static void memory_end(void)
{
	static const char text[] = "reuseportd: out of memory\n";
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&ready, 1, 0) != 1 || write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_REFUSED);
	_exit(EXIT_REFUSED);
}

void *memory_need(void *p)
{
	if (!p)
		memory_end();
	return p;
}

int memory_check(int r)
{
	if (r == -ENOMEM)
		memory_end();
	return r;
}

char *memory_close_text(FILE *out, char **text)
{
	bool failed = ferror(out);

	failed |= fclose(out) != 0;
	if (failed)
		free(TAKE_PTR(*text));
	return *text;
}

ssize_t memory_getdelim(char **line, size_t *room, int delimiter, FILE *file)
{
	ssize_t n;

	errno = 0;
	n = getdelim(line, room, delimiter, file);
	if (n < 0)
		memory_check(-errno);
	return n;
}
