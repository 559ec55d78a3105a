/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/log_file.h"
#include "stream/output.h"

/* Whether each worker has a file of its own. Devices, pipes and terminals are shared. */
static bool worker_log_is_one_for_each(const struct worker *w, const char *name)
{
	struct stat st;

	if (w->plan->config.merge_logs || !strncmp(name, "/dev/", 5) || !strncmp(name, "/proc/", 6))
		return false;
	return stat(name, &st) < 0 || S_ISREG(st.st_mode);
}

/* The path of the worker's file: "-SLOT" goes before the extension. */
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

/* The supervisor's own stream. A socket, such as the journal's, can't be opened by name. */
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
	id.limited = config->limited;
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
	/* By the group, as an owner could change the mode, and the next supervisor has to open the
	 * file as well. Other members of the group can't enter the directory. Without CAP_CHOWN the
	 * file is not shared. */
	if (fchown(fd, (uid_t)-1, id.gid) == 0)
		fchmod(fd, 0660);
	return 0;
}
