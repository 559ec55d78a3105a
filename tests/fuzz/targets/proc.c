/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of /proc, of which a process can choose parts. The first byte chooses the file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fuzz.h"
#include "kern/mounts.h"
#include "kern/proc_epoll.h"
#include "kern/proc_read.h"

static void read_stat(const char *text)
{
	struct process process = {};
	const int r = proc_read_parse_stat(text, 7, &process);

	FUZZ_CHECK(r == 0 || r == -ESRCH || r == -EBADMSG);
	if (r < 0)
		return;
	FUZZ_CHECK(process.id.pid == 7);
	FUZZ_CHECK(strlen(process.comm) < sizeof(process.comm));
	FUZZ_CHECK(!fuzz_has_control(process.comm));
}

static void read_mount(const char *text)
{
	_cleanup_free_ char *line = strdup(text);
	const size_t n = strlen(line);
	const char *path = mounts_parse_line(line, "cgroup2");

	FUZZ_CHECK(!path || (path >= line && path + strlen(path) <= line + n));
}

static void read_watches(const char *text)
{
	_cleanup_file_ FILE *file = fmemopen((char *)text, strlen(text) + 1, "r");
	uint64_t inode;
	int fd;

	for (size_t n = 0; file && proc_epoll_read(file, &fd, &inode); n++)
		FUZZ_CHECK(n <= strlen(text));
}

static void run(const char *text, size_t size)
{
	if (text[0] == 'm')
		read_mount(text + 1);
	else if (text[0] == 'w')
		read_watches(text + 1);
	else if (text[0] == 's')
		read_stat(text + 1);
	else
		proc_read_inode(text, "socket");
}

const struct fuzz_target fuzz_target = {run, 4};
