/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "core/env.h"
#include "kern/credentials.h"
#include "kern/interpreter.h"
#include "service/run_dir.h"

#define ENV_OWN_MAX 24 /* at most this many variables are added */

/* Variables that are meant for the supervisor itself. */
static const char *const kept_back[] = {
        "NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",     "MAINPID",
        "LISTEN_FDS",    "LISTEN_PID",     "LISTEN_FDNAMES",   "NODE_CHANNEL_FD",
        "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "NODE_CHANNEL_SERIALIZATION_MODE",
};

struct env {
	char **list;
	size_t n, room;
	bool failed;
};

static size_t worker_env_name_length(const char *variable)
{
	return strcspn(variable, "=");
}

static bool worker_env_same_name(const char *a, const char *b)
{
	return worker_env_name_length(a) == worker_env_name_length(b) &&
	       !strncmp(a, b, worker_env_name_length(a));
}

/* Adds @variable, in place of one of its name, and owns it from then on. */
static void worker_env_put(struct env *env, char *variable)
{
	if (!variable || env->n + 1 >= env->room) {
		env->failed = true;
		free(variable);
		return;
	}
	for (size_t i = 0; i < env->n; i++)
		if (worker_env_same_name(env->list[i], variable)) {
			free(env->list[i]);
			env->list[i] = variable;
			return;
		}
	env->list[env->n++] = variable;
}

__attribute__((format(printf, 2, 3))) static void worker_env_add(struct env *env,
                                                                 const char *format, ...)
{
	char *variable = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&variable, format, args) < 0)
		variable = NULL;
	va_end(args);
	worker_env_put(env, variable);
}

static bool worker_env_is_kept_back(const char *variable)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept_back); i++)
		if (worker_env_same_name(variable, kept_back[i]))
			return true;
	return false;
}

/* PM2's increment_var: each worker gets the next number. */
static void worker_env_add_increment(struct env *env, const struct worker *w)
{
	const char *name = w->plan->config.increment_var;
	long value = 0;

	if (!name)
		return;
	for (size_t i = 0; i < env->n; i++)
		if (worker_env_same_name(env->list[i], name))
			value = strtol(env->list[i] + worker_env_name_length(env->list[i]) + 1,
			               NULL, 10);
	worker_env_add(env, "%s=%ld", name, value + w->slot);
}

static void worker_env_add_sockets(struct env *env, const struct run_config *config)
{
	char names[RPD_ENDPOINT_MAX * 8 + 1] = "";

	for (size_t i = 0; i < config->n_listens; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%u", i ? ":" : "",
		         config->listens[i].port);
	worker_env_add(env, "LISTEN_FDS=%zu", config->n_listens);
	worker_env_add(env, "LISTEN_FDNAMES=%s", names);
	worker_env_add(env, "LISTEN_PID=0"); /* spawn_start() fills in the pid */
}

/* As systemd does for User=: the supervisor's own would lead to root's files. */
static void worker_env_add_user(struct env *env, const struct run_config *config)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;

	/* A user that can't be found is reported by spawn_start(). */
	if (!config->user || credentials_find(&id, config->user, config->group, &ignored) < 0)
		return;
	if (id.name) {
		worker_env_add(env, "USER=%s", id.name);
		worker_env_add(env, "LOGNAME=%s", id.name);
	}
	if (id.shell)
		worker_env_add(env, "SHELL=%s", id.shell);
	if (id.home)
		worker_env_add(env, "HOME=%s", id.home);
}

static void worker_env_add_own(struct env *env, const struct worker *w)
{
	const struct run_config *config = &w->plan->config;
	char path[PATH_MAX];

	worker_env_add_user(env, config);
	if (config->n_listens)
		worker_env_add(env, "PORT=%u", config->listens[0].port);
	worker_env_add(env, "NODE_APP_INSTANCE=%u", w->slot);
	worker_env_add(env, "REUSEPORTD_SLOT=%u", w->slot);
	worker_env_add(env, "REUSEPORTD_SERVICE=%s", w->sup->name);
	worker_env_add(env, "REUSEPORTD_VERSION=%s", config->label);
	if (config->ready == READY_NOTIFY) {
		run_dir_path(w->sup->name, "notify", path, sizeof(path));
		worker_env_add(env, "NOTIFY_SOCKET=%s", path);
	}
	if (config->pass_sockets)
		worker_env_add_sockets(env, config);
}

char **worker_env_new(const struct worker *w)
{
	const struct run_config *config = &w->plan->config;
	struct env env = {.room = strv_length(environ) + strv_length(config->env) + ENV_OWN_MAX};

	env.list = calloc(env.room, sizeof(*env.list));
	if (!env.list)
		return NULL;
	for (char **variable = environ; *variable; variable++)
		if (!worker_env_is_kept_back(*variable))
			worker_env_put(&env, strdup(*variable));
	worker_env_add_own(&env, w);
	for (char **variable = config->env; variable && *variable; variable++)
		worker_env_put(&env, strdup(*variable));
	worker_env_add_increment(&env, w);
	if (!env.failed)
		return env.list;
	strv_free(env.list);
	return NULL;
}

static const char *worker_env_path_of(const struct run_config *config)
{
	const char *path = env_find(config->env, "PATH");

	return path ? path : getenv("PATH");
}

bool worker_env_has_channel(const struct run_config *config)
{
	static const char *const programs[] = {"node", "nodejs", "npm",     "npx", "yarn",
	                                       "pnpm", "tsx",    "ts-node", "bun", NULL};

	return config->ready == READY_MESSAGE || config->drain_message ||
	       config->shutdown_message ||
	       interpreter_is_among(config->argv, worker_env_path_of(config), config->cwd,
	                            programs);
}

int worker_env_add_channel(char ***env, int fd)
{
	char setting[32];
	int r;

	snprintf(setting, sizeof(setting), "NODE_CHANNEL_FD=%d", fd);
	r = env_set(env, setting);
	return r < 0 ? r : env_set(env, "NODE_CHANNEL_SERIALIZATION_MODE=json");
}
