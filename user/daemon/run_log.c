/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that workers' output is appended to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/run.h"

/* A device, a pipe or a terminal all workers have in common. */
static bool is_one_for_each(const struct run_worker *w, const char *name)
{
	struct stat st;

	if (w->plan->config.merge_logs || !strncmp(name, "/dev/", 5) || !strncmp(name, "/proc/", 6))
		return false;
	return stat(name, &st) < 0 || S_ISREG(st.st_mode);
}

/* "-SLOT" goes before the extension. */
static void path_of(const struct run_worker *w, const char *name, char *buf, size_t size)
{
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	const char *dot = strrchr(base, '.');

	if (!dot || dot == base)
		dot = name + strlen(name);
	if (is_one_for_each(w, name))
		snprintf(buf, size, "%.*s-%u%s", (int)(dot - name), name, w->slot, dot);
	else
		snprintf(buf, size, "%s", name);
}

/* Ours; by its name it can't be opened if it is a socket, as the journal's is. */
static int own_stream(const char *name)
{
	return !strcmp(name, "/dev/stdout")   ? STDOUT_FILENO
	       : !strcmp(name, "/dev/stderr") ? STDERR_FILENO
	                                      : -1;
}

int run_log_open(const struct run_worker *w, const char *name, struct error *err)
{
	const int own = own_stream(name);
	char path[PATH_MAX];
	int fd;

	path_of(w, name, path, sizeof(path));
	if (own >= 0)
		fd = fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	else
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	return fd < 0 ? error_set(err, -errno, "can't write to %s: %s", path, strerror(errno)) : fd;
}
