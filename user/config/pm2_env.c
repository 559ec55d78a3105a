/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "core/env.h"

/* NAME=VALUE, which the caller frees. NULL, with a problem, if the name is none. */
static char *pm2_env_format(struct pm2_app *app, const char *key, const char *name,
                            struct json_object *value)
{
	const char *as_text = pm2_app_text(value);
	char *setting = NULL;

	/* PM2 passes an array or an object as JSON. */
	if (!as_text)
		as_text = json_object_to_json_string_ext(
		        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!*name || strchr(name, '='))
		pm2_app_problem(app, key, "'%s' is not a name for a variable", name);
	else if (asprintf(&setting, "%s=%s", name, as_text) < 0)
		pm2_app_problem(app, key, "out of memory");
	else
		return setting;
	return NULL;
}

static void pm2_env_set_variables(struct pm2_app *app, const char *key,
                                  struct json_object *variables)
{
	_cleanup_strv_ char **settings = NULL;
	size_t n = 0;

	if (!json_object_is_type(variables, json_type_object)) {
		pm2_app_problem(app, key, "the value is not an object");
		return;
	}
	settings = calloc(json_object_object_length(variables) + 1, sizeof(*settings));
	json_object_object_foreach(variables, name, value)
	{
		if (settings && (settings[n] = pm2_env_format(app, key, name, value)))
			n++;
	}
	if (settings && env_merge(&app->config->env, settings) == 0)
		TAKE_PTR(settings);
	else
		pm2_app_problem(app, key, "out of memory");
}

static void pm2_env_set_variable(struct pm2_app *app, const char *key, const char *name,
                                 struct json_object *value)
{
	_cleanup_free_ char *setting = pm2_env_format(app, key, name, value);

	if (setting && env_set(&app->config->env, setting) < 0)
		pm2_app_problem(app, key, "out of memory");
}

void pm2_env_set(struct pm2_app *app)
{
	static const char *const ports[] = {"port", NULL};
	struct json_object *base = json_object_object_get(app->json, "env"), *chosen = NULL;
	struct json_object *port = pm2_app_get(app, ports, NULL);
	_cleanup_free_ char *key = NULL;

	if (app->file_env)
		pm2_env_set_variables(app, "process.env", app->file_env);
	if (base)
		pm2_env_set_variables(app, "env", base);
	if (port)
		pm2_env_set_variable(app, "port", "PORT", port);
	if (!app->file->env)
		return;
	if (app->deploy_env)
		pm2_env_set_variables(app, "deploy", app->deploy_env);
	if (asprintf(&key, "env_%s", app->file->env) < 0) {
		key = NULL;
		pm2_app_problem(app, NULL, "out of memory");
		return;
	}
	chosen = json_object_object_get(app->json, key);
	if (chosen)
		pm2_env_set_variables(app, key, chosen);
	else
		pm2_app_warn(app, key, "the app has no such environment; only env is used");
}
