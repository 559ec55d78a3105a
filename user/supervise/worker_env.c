/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker_env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "config/load.h"
#include "core/env.h"
#include "core/node_inspect.h"
#include "kern/file_rights.h"
#include "kern/interpreter.h"
#include "kern/user_env.h"
#include "service/run_dir.h"

struct env {
	char **list;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void worker_env_add(struct env *env,
                                                                 const char *format, ...)
{
	_cleanup_free_ char *variable = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&variable, format, args) < 0)
		variable = NULL;
	va_end(args);
	env->failed |= !variable || env_set(&env->list, variable) < 0;
}

/* PM2's increment_var: each worker gets the next number. */
static void worker_env_add_increments(struct env *env, const struct worker *w)
{
	for (char **name = w->plan->config.increment_vars; name && *name; name++) {
		const char *value = env_find(env->list, *name);

		worker_env_add(env, "%s=%ld", *name,
		               (value ? strtol(value, NULL, 10) : 0) + w->slot);
	}
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

static void worker_env_add_own(struct env *env, const struct worker *w)
{
	const struct run_config *config = &w->plan->config;
	char path[PATH_MAX];

	if (config->n_listens)
		worker_env_add(env, "PORT=%u", config->listens[0].port);
	worker_env_add(env, "%s=%u",
	               config->instance_var ? config->instance_var : "NODE_APP_INSTANCE", w->slot);
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
	_cleanup_(credentials_deinit) struct credentials id = {};
	const struct run_config *config = &w->plan->config;
	struct error ignored;
	struct env env = {};

	/* A user that can't be found is reported by spawn_start(); until then it is not ours. */
	if (credentials_take(&id, config->user, config->group, config->identity, &ignored) < 0) {
		id.set_user = true;
		id.uid = (uid_t)-1;
	}
	env.list = user_env_new(&id);
	if (!env.list)
		return NULL;
	worker_env_add_own(&env, w);
	for (char **variable = config->env; variable && *variable; variable++)
		worker_env_add(&env, "%s", *variable);
	worker_env_add_increments(&env, w);
	if (!env.failed)
		return env.list;
	strv_free(env.list);
	return NULL;
}

void worker_env_find_own_ports(struct worker *w)
{
	char *const *names = w->plan->config.increment_vars;
	char **env = names ? worker_env_new(w) : NULL;

	for (size_t i = 0; env && names[i] && i < WORKER_OWN_PORTS; i++) {
		const char *value = env_find(env, names[i]);
		const long number = value ? strtol(value, NULL, 10) : 0;

		w->own_ports[i] = number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
	}
	strv_free(env);
}

bool worker_env_has_own_port(const struct worker *w, uint16_t port)
{
	for (size_t i = 0; i < WORKER_OWN_PORTS; i++)
		if (port && w->own_ports[i] == port)
			return true;
	return false;
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

	_cleanup_file_rights_ struct file_rights own = {};

	if (config->ready == READY_MESSAGE || config->drain_message || config->shutdown_message)
		return true;
	return load_assume_rights(config, &own) &&
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

#define NODE_OPTIONS "NODE_OPTIONS="

uint16_t worker_env_inspector(const struct worker *w)
{
	const struct run_config *config = &w->plan->config;
	const char *options = env_find(config->env, "NODE_OPTIONS");

	return node_inspect_port(config->argv, options ? options : getenv("NODE_OPTIONS"), w->slot);
}

int worker_env_set_inspector(const struct worker *w, char **env, char **argv)
{
	_cleanup_free_ char *options = NULL;
	int r;

	while (*env && strncmp(*env, NODE_OPTIONS, strlen(NODE_OPTIONS)) != 0)
		env++;
	if (*env) {
		options = strdup(*env + strlen(NODE_OPTIONS));
		if (!options)
			return -ENOMEM;
	}
	r = node_inspect_set_port(argv, &options, w->slot);
	if (r == 0 && *env) {
		char *changed;

		if (asprintf(&changed, NODE_OPTIONS "%s", options) < 0)
			return -ENOMEM;
		free(*env);
		*env = changed;
	}
	return r;
}
