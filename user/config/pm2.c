/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/node.h"
#include "config/pm2_app.h"
#include "config/run_option.h"
#include "core/service_name.h"

#define PM2_KILL_TIMEOUT (1600 * 1000000ll)

struct json_object *pm2_get(const struct pm2_app *app, const char *const *names,
                            const char **ret_name)
{
	for (; *names; names++) {
		struct json_object *value = json_object_object_get(app->json, *names);
		const enum json_type type = json_object_get_type(value);

		if (!value || (type == json_type_boolean && !json_object_get_boolean(value)) ||
		    (type == json_type_string && !json_object_get_string_len(value)))
			continue;
		if (ret_name)
			*ret_name = *names;
		return value;
	}
	return NULL;
}

const char *pm2_text(struct json_object *value)
{
	const enum json_type type = json_object_get_type(value);

	if (type == json_type_array || type == json_type_object || type == json_type_null)
		return NULL;
	return json_object_get_string(value);
}

__attribute__((format(printf, 4, 0))) static void
tell(struct pm2_app *app, bool warning, const char *key, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	(warning ? problem_warn : problem_add)(app->problems, 0, "app '%s': %s%s%s", app->name,
	                                       key ? key : "", key ? ": " : "",
	                                       text ? text : "out of memory");
}

void pm2_problem(struct pm2_app *app, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(app, false, key, format, args);
	va_end(args);
}

void pm2_warn(struct pm2_app *app, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(app, true, key, format, args);
	va_end(args);
}

void pm2_set(struct pm2_app *app, const char *key, const char *option, const char *value)
{
	struct error err;
	const char *why;

	if (run_option_set(app->config, option, value, app->file->n_cpus, &err) == 0)
		return;
	why = strstr(err.text, ": "); /* after the name that the option has with us */
	pm2_problem(app, key, "%s", why ? why + 2 : err.text);
}

static void pm2_report(void *data, const char *option, const char *text)
{
	struct pm2_app *app = data;

	/* What is missing has been told of in PM2's words. */
	if (option && strcmp(option, "workers") != 0)
		pm2_problem(app, option, "%s", text);
}

/* PM2's name, and ours, which has fewer letters. Returns whether it is to be run. */
static bool pm2_take_name(struct pm2_app *app, char ret_name[RPD_LABEL_MAX])
{
	static const char *const names[] = {"name", NULL};
	static const char *const scripts[] = {"script", "exec", "cmd", "command", NULL};
	const char *script = pm2_text(pm2_get(app, scripts, NULL));
	const char *slash = script ? strrchr(script, '/') : NULL;
	struct json_object *autostart = json_object_object_get(app->json, "autostart");

	app->name = pm2_text(pm2_get(app, names, NULL));
	if (!app->name) {
		static char made[RPD_LABEL_MAX]; /* PM2: the script, without its extension */

		snprintf(made, sizeof(made), "%s", slash ? slash + 1 : script ? script : "app");
		if (strrchr(made, '.') > made)
			*strrchr(made, '.') = '\0';
		app->name = made;
	}
	if (!load_file_wants(app->file, app->name))
		return false;
	if (json_object_is_type(autostart, json_type_boolean) &&
	    !json_object_get_boolean(autostart) && !app->file->only) {
		pm2_warn(app, "autostart", "left out; `--only %s` runs it", app->name);
		return false;
	}
	service_name_derive(app->name, 0, ret_name);
	return true;
}

static void pm2_set_name(struct pm2_app *app, const char *made)
{
	struct error err;

	if (service_name_check(app->name, &err) == 0) {
		strcpy(app->config->service, app->name);
		return;
	}
	strcpy(app->config->service, made);
	pm2_warn(app, "name", "its service is called '%s'", made);
}

static void pm2_take_app(const struct load_file *file, struct json_object *json,
                         struct load_result *ret)
{
	struct pm2_app app = {.file = file, .json = json, .problems = &ret->problems, .name = "?"};
	char name[RPD_LABEL_MAX];
	struct error err;

	if (!json_object_is_type(json, json_type_object)) {
		problem_add(app.problems, 0, "an app is no object");
		return;
	}
	if (!pm2_take_name(&app, name))
		return;
	app.config = load_add(ret);
	if (!app.config)
		return;
	app.config->stop_signal = SIGINT;
	app.config->kill_timeout = PM2_KILL_TIMEOUT;
	pm2_set_name(&app, name);
	load_check_name(ret, 0);
	pm2_take_command(&app);
	pm2_take_env(&app);
	pm2_take_options(&app);
	run_config_report_problems(app.config, pm2_report, &app);
	load_host_problems(app.config, pm2_report, &app);
	if (load_env_files(app.config, &err) < 0)
		pm2_problem(&app, "env_file", "%s", err.text);
	if (load_find_program(app.config, &err) < 0)
		pm2_warn(&app, NULL, "%s", err.text);
}

/* What is beside the apps. */
static void pm2_warn_of_others(struct json_object *top, struct problems *problems)
{
	json_object_object_foreach(top, key, value)
	{
		if (!strcmp(key, "apps") || !strcmp(key, "pm2") || !value)
			continue;
		problem_warn(problems, 0,
		             strcmp(key, "deploy") != 0 ? "'%s' is not known here, and left out"
		                                        : "'%s' is for `pm2 deploy`, and left out",
		             key);
	}
}

/* The apps are an array, or one object; as the member `apps`, or by themselves. */
static void pm2_take_apps(const struct load_file *file, struct json_object *top,
                          struct load_result *ret)
{
	struct json_object *apps = top;

	if (json_object_is_type(top, json_type_object) &&
	    (json_object_object_get_ex(top, "apps", &apps) ||
	     json_object_object_get_ex(top, "pm2", &apps)))
		pm2_warn_of_others(top, &ret->problems);
	if (json_object_is_type(apps, json_type_object)) {
		pm2_take_app(file, apps, ret);
		return;
	}
	if (!json_object_is_type(apps, json_type_array) || !json_object_array_length(apps)) {
		problem_add(&ret->problems, 0, "there are no apps in it");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(apps); i++)
		pm2_take_app(file, json_object_array_get_idx(apps, i), ret);
}

static unsigned int pm2_line_of(const char *text, size_t offset)
{
	unsigned int line = 1;

	for (size_t i = 0; i < offset && text[i]; i++)
		line += text[i] == '\n';
	return line;
}

/* NULL, with a problem, if it isn't JSON. */
static struct json_object *pm2_parse(const char *text, struct problems *problems)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *top =
	        tokener ? json_tokener_parse_ex(tokener, text, strlen(text) + 1) : NULL;
	enum json_tokener_error error =
	        tokener ? json_tokener_get_error(tokener) : json_tokener_error_size;

	if (!top && error == json_tokener_success)
		problem_add(problems, 0, "there are no apps in it"); /* null */
	else if (!top)
		problem_add(problems,
		            pm2_line_of(text, tokener ? json_tokener_get_parse_end(tokener) : 0),
		            "this is no JSON: %s", json_tokener_error_desc(error));
	if (tokener)
		json_tokener_free(tokener);
	return top;
}

int pm2_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	const char *dot = strrchr(file->path, '.');
	_cleanup_free_ char *text = NULL;
	struct json_object *top;
	unsigned int line;
	int r = load_read_file(file->path, &text);

	if (r < 0)
		return error_usage(err, "'%s' can't be read: %s", file->path, strerror(-r));
	if (strcmp(dot, ".json") != 0) {
		free(TAKE_PTR(text));
		r = node_read(file->path, &text, &line, err);
	}
	if (r < 0 && err->status != EXIT_USAGE)
		return r;
	if (r < 0) {
		problem_add(&ret->problems, line, "%s", err->text);
		return 0;
	}
	top = pm2_parse(text, &ret->problems);
	if (top)
		pm2_take_apps(file, top, ret);
	json_object_put(top);
	return 0;
}
