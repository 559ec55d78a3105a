/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that workers' output is appended to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "supervise/types.h"
#include "kern/log_file.h"

/* A device, a pipe or a terminal all workers have in common. */
static bool worker_log_is_one_for_each(const struct worker *w, const char *name)
{
	struct stat st;

	if (w->plan->config.merge_logs || !strncmp(name, "/dev/", 5) || !strncmp(name, "/proc/", 6))
		return false;
	return stat(name, &st) < 0 || S_ISREG(st.st_mode);
}

/* "-SLOT" goes before the extension. */
static void worker_log_path_of(const struct worker *w, const char *name, char *buf, size_t size)
{
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	const char *dot = strrchr(base, '.');

	if (!dot || dot == base)
		dot = name + strlen(name);
	if (worker_log_is_one_for_each(w, name))
		snprintf(buf, size, "%.*s-%u%s", (int)(dot - name), name, w->slot, dot);
	else
		snprintf(buf, size, "%s", name);
}

/* Ours; by its name it can't be opened if it is a socket, as the journal's is. */
static int worker_log_own_stream(const char *name)
{
	return !strcmp(name, "/dev/stdout")   ? STDOUT_FILENO
	       : !strcmp(name, "/dev/stderr") ? STDERR_FILENO
	                                      : -1;
}

int worker_log_open(const struct worker *w, const char *name, struct error *err)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	const struct run_config *config = &w->plan->config;
	const int own = worker_log_own_stream(name);
	char path[PATH_MAX];
	int r;

	if (own >= 0) {
		r = fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		return r < 0 ? error_set(err, -errno, "can't write to %s: %s", name,
		                         strerror(errno))
		             : r;
	}
	worker_log_path_of(w, name, path, sizeof(path));
	r = credentials_find(&id, config->user, config->group, err);
	return r < 0 ? r : log_file_open(path, &id, err);
}

int worker_log_share(const struct worker *w, struct error *err)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	const struct run_config *config = &w->plan->config;
	int fd, r;

	if (!w->output || !config->user)
		return 0;
	r = credentials_find(&id, config->user, config->group, err);
	if (r < 0)
		return r;
	fd = output_worker_fd(w->output);
	/* By its group: the owner may do more, and the next supervisor has to open it as well. Who
	 * else is of that group doesn't get into the folder. Without CAP_CHOWN it is not so. */
	if (fchown(fd, (uid_t)-1, id.gid) == 0)
		fchmod(fd, 0660);
	return 0;
}
