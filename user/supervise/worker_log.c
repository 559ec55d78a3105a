/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_log.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/credentials.h"
#include "kern/log_file.h"

/* Whether each worker has a file of its own. Devices, pipes and terminals are shared. */
static bool worker_log_is_one_for_each(const struct run_config *config, const char *name)
{
	struct stat st;

	if (config->merge_logs || !strncmp(name, "/dev/", 5) || !strncmp(name, "/proc/", 6))
		return false;
	return stat(name, &st) < 0 || S_ISREG(st.st_mode);
}

/* The path of the worker's file: "-SLOT" goes before the extension. */
static void worker_log_set_path(const struct run_config *config, unsigned int slot,
                                const char *name, char ret[PATH_MAX])
{
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	const char *dot = strrchr(base, '.');

	if (!dot || dot == base)
		dot = name + strlen(name);
	if (worker_log_is_one_for_each(config, name))
		snprintf(ret, PATH_MAX, "%.*s-%u%s", (int)(dot - name), name, slot, dot);
	else
		snprintf(ret, PATH_MAX, "%s", name);
}

/* Without a file, an output goes to the supervisor's own. Its streams can't always be opened by
 * name: the journal's socket can't. */
static void worker_log_find_place(const struct run_config *config, unsigned int slot, int place,
                                  struct log_message_place *ret)
{
	const char *const names[LOG_MESSAGE_PLACES] = {config->out_file, config->error_file,
	                                               config->log_file};
	const char *name = names[place];
	const int stream = place == LOG_MESSAGE_BOTH ? -1 : STDOUT_FILENO + place;

	*ret = (struct log_message_place){.stream = stream};
	if (!name)
		return;
	ret->stream = !strcmp(name, "/dev/stdout")   ? STDOUT_FILENO
	              : !strcmp(name, "/dev/stderr") ? STDERR_FILENO
	                                             : 0;
	if (!ret->stream)
		worker_log_set_path(config, slot, name, ret->path);
}

int worker_log_check(const struct run_config *config, unsigned int slot, struct error *err)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	int r = credentials_take(&id, config->user, config->group, config->identity, err);

	id.limited = config->limited;
	for (int i = 0; r >= 0 && i < LOG_MESSAGE_PLACES; i++) {
		_cleanup_close_ int fd = -1;
		struct log_message_place place;

		worker_log_find_place(config, slot, i, &place);
		if (!place.stream)
			r = fd = log_file_open(place.path, &id, err);
	}
	return r < 0 ? r : 0;
}

void worker_log_describe(const struct run_config *config, const char *service, unsigned int slot,
                         unsigned int number, struct log_message *ret)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;

	memset(ret, 0, sizeof(*ret));
	ret->kind = LOG_MESSAGE_ADD;
	ret->slot = slot;
	ret->number = number;
	if (config->log == RUN_LOG_PREFIX)
		snprintf(ret->prefix, sizeof(ret->prefix), "%s.%u | ", service, slot);
	ret->places[0].stream = STDOUT_FILENO;
	ret->places[1].stream = STDERR_FILENO;
	ret->places[LOG_MESSAGE_BOTH].stream = -1;
	if (credentials_take(&id, config->user, config->group, config->identity, &ignored) < 0)
		return;
	for (int i = 0; i < LOG_MESSAGE_PLACES; i++)
		worker_log_find_place(config, slot, i, &ret->places[i]);
	ret->set_user = id.set_user;
	ret->limited = config->limited;
	ret->uid = id.uid;
	ret->gid = id.gid;
	ret->n_groups = id.n_groups < LOG_MESSAGE_GROUPS_MAX ? id.n_groups : LOG_MESSAGE_GROUPS_MAX;
	if (ret->n_groups)
		memcpy(ret->groups, id.groups, ret->n_groups * sizeof(gid_t));
}

int worker_log_share(const struct run_config *config, const int fds[2], struct error *err)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	int r = config->user
	                ? credentials_take(&id, config->user, config->group, config->identity, err)
	                : 0;

	/* By the group, as an owner could change the mode, and the next supervisor has to open the
	 * FIFOs as well. Other members of the group can't enter the directory. Without CAP_CHOWN
	 * the FIFOs are not shared. */
	for (int i = 0; r == 0 && config->user && i < 2; i++)
		if (fchown(fds[i], (uid_t)-1, id.gid) == 0)
			fchmod(fds[i], 0660);
	return r;
}
