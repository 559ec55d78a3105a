/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/pm2_mode.h"

static bool pm2_logs_is_true(struct json_object *value)
{
	return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

void pm2_logs_set_file(struct pm2_app *app, const char *key, const char *option,
                       struct json_object *value)
{
	const char *name = pm2_app_text(value), *cwd = app->config->cwd;
	_cleanup_free_ char *path = NULL, *home = pm2_app_home(app);
	int r;

	if (!name || pm2_logs_is_true(value)) {
		pm2_app_problem(app, key, "the value is not a file name");
		return;
	}
	if (!json_object_get_boolean(value))
		return;
	if (!strcmp(name, "NULL"))
		name = "/dev/null";
	if (name[0] == '~' && home)
		r = asprintf(&path, "%s%s", home, name + 1);
	else
		r = asprintf(&path, "%s%s%s", name[0] != '/' && cwd ? cwd : "",
		             name[0] != '/' && cwd ? "/" : "", name);
	if (r < 0) {
		path = NULL;
		pm2_app_problem(app, NULL, "out of memory");
		return;
	}
	pm2_app_set(app, key, option, path);
}

/* Both outputs in one file; out_file and error_file are written as well, if there are any. */
static void pm2_logs_set_combined(struct pm2_app *app)
{
	static const char *const names[] = {"log_file", "log", NULL};
	const struct run_config *config = app->config;
	const char *key;
	struct json_object *value = pm2_app_get(app, names, &key);

	if (!value)
		return;
	if (pm2_logs_is_true(value)) {
		pm2_app_warn(app, key, "ignored: write the name of a file instead of true");
	} else if (config->out_file || config->error_file) {
		pm2_logs_set_file(app, key, "log-file", value);
	} else {
		pm2_logs_set_file(app, key, "out-file", value);
		pm2_logs_set_file(app, key, "error-file", value);
	}
}

static bool pm2_logs_is_log(const char *file)
{
	const size_t n = file ? strlen(file) : 0;

	return n > 4 && !strcmp(file + n - 4, ".log");
}

/* PM2 inserts the number of the process only into names that end in ".log", and not for an app
 * without `instances` in fork mode. */
static void pm2_logs_set_merge(struct pm2_app *app)
{
	static const char *const names[] = {"merge_logs", "combine_logs", NULL};
	struct run_config *config = app->config;
	const char *const files[] = {config->out_file, config->error_file, config->log_file};
	const bool is_given = json_object_object_get(app->json, "merge_logs") ||
	                      json_object_object_get(app->json, "combine_logs");
	const char *other = NULL;
	bool numbered = false;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		numbered |= pm2_logs_is_log(files[i]);
		if (files[i] && !pm2_logs_is_log(files[i]) && strcmp(files[i], "/dev/null") != 0)
			other = files[i];
	}
	if (!files[0] && !files[1] && !files[2])
		return;
	config->merge_logs =
	        pm2_app_get(app, names, NULL) || !numbered || (!is_given && config->workers == 1);
	if (!config->merge_logs && other)
		pm2_app_warn(app, "merge_logs",
		             "each worker has its own file for %s as well, with its number; PM2 "
		             "numbers only names that end in .log",
		             other);
	if (config->merge_logs && !is_given && numbered &&
	    (json_object_object_get(app->json, "instances") || pm2_mode_is_cluster(app)))
		pm2_app_warn(app, "merge_logs",
		             "the file of the only worker has no number, unlike in PM2; "
		             "`merge_logs: false` inserts one");
}

void pm2_logs_set(struct pm2_app *app)
{
	static const char *const off[] = {"disable_logs", NULL};

	if (pm2_app_get(app, off, NULL)) {
		pm2_app_set(app, off[0], "out-file", "/dev/null");
		pm2_app_set(app, off[0], "error-file", "/dev/null");
		return;
	}
	pm2_logs_set_combined(app);
	pm2_logs_set_merge(app);
}
