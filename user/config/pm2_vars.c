/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_vars.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "config/pm2_mode.h"
#include "core/env.h"

static void pm2_vars_set_default(struct pm2_app *app, const char *name, const char *value)
{
	_cleanup_free_ char *setting = NULL;

	if (!value || env_find(app->config->env, name))
		return;
	if (asprintf(&setting, "%s=%s", name, value) < 0)
		setting = NULL;
	if (!setting || env_set(&app->config->env, setting) < 0)
		pm2_app_problem(app, NULL, "out of memory");
}

static void pm2_vars_set_number(struct pm2_app *app, const char *name, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	pm2_vars_set_default(app, name, text);
}

/* The name of a variable that the app gives; NULL if there is none. */
static const char *pm2_vars_name(struct pm2_app *app, const char *key)
{
	const char *const names[] = {key, NULL};
	struct json_object *value = pm2_app_get(app, names, NULL);
	const char *name = pm2_app_text(value);

	if (value && (!name || strchr(name, '='))) {
		pm2_app_problem(app, key, "the value is not the name of a variable");
		return NULL;
	}
	return name;
}

/* The script is the first word that is an existing path, as pm2_command.c writes it. For a command
 * line it is the shell. */
static const char *pm2_vars_script(const struct pm2_app *app)
{
	static const char *const scripts[] = {"script", "exec", "cmd", "command", NULL};
	const char *script = pm2_app_text(pm2_app_get(app, scripts, NULL));
	const char *slash = script ? strrchr(script, '/') : NULL;
	const char *end = slash ? slash + 1 : script ? script : "";
	char **word = script && !strchr(script, ' ') ? app->config->argv : NULL;

	for (; word && *word; word++) {
		const char *last = strrchr(*word, '/');

		if (last && !strcmp(last + 1, end))
			return *word;
	}
	return app->config->argv ? app->config->argv[0] : NULL;
}

void pm2_vars_set(struct pm2_app *app)
{
	struct run_config *config = app->config;
	const char *increment = pm2_vars_name(app, "increment_var");
	const char *instance = pm2_vars_name(app, "instance_var");
	_cleanup_free_ char *here = getcwd(NULL, 0);
	const char *space = pm2_app_text(json_object_object_get(app->json, "namespace"));

	if (instance && (!increment || strcmp(instance, increment) != 0))
		pm2_app_set(app, "instance_var", "instance-var", instance);
	if (increment)
		pm2_app_set(app, "increment_var", "increment-var", increment);
	if (!env_find(config->env, "pm_id"))
		pm2_app_set(app, NULL, "increment-var", "pm_id");
	pm2_vars_set_number(app, "pm_id", app->pm_id);
	pm2_vars_set_default(app, "name", app->name);
	pm2_vars_set_default(app, "namespace", space && *space ? space : "default");
	pm2_vars_set_default(app, "exec_mode",
	                     pm2_mode_is_cluster(app) ? "cluster_mode" : "fork_mode");
	pm2_vars_set_number(app, "instances", config->workers);
	pm2_vars_set_default(app, "pm_exec_path", pm2_vars_script(app));
	pm2_vars_set_default(app, "pm_cwd", config->cwd ? config->cwd : here);
}
