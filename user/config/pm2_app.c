/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_app.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/run_option.h"
#include "kern/credentials.h"

struct json_object *pm2_app_get(const struct pm2_app *app, const char *const *names,
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

const char *pm2_app_text(struct json_object *value)
{
	const enum json_type type = json_object_get_type(value);

	if (type == json_type_array || type == json_type_object || type == json_type_null)
		return NULL;
	return json_object_get_string(value);
}

long pm2_app_count_instances(const struct pm2_app *app)
{
	static const char *const names[] = {"instances", NULL};
	struct json_object *value = json_object_object_get(app->json, names[0]);
	const char *text = pm2_app_text(value);
	const long n_cpus = app->file->n_cpus;
	double number;
	char *end;
	long n;

	if (!text)
		return 1;
	number = strtod(text, &end);
	if (!strcmp(text, "max"))
		number = 0;
	else if (end == text || *end || !(number > -RPD_SLOT_MAX - 1 && number < RPD_SLOT_MAX + 1))
		return 0;
	n = (long)number;
	return n > 0 ? n : n_cpus + n < 1 ? 1 : n_cpus + n;
}

char *pm2_app_home(const struct pm2_app *app)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;
	const char *home = getenv("HOME");

	if (app->config->user) {
		credentials_find(&id, app->config->user, app->config->group, &ignored);
		home = id.home;
	}
	return home ? strdup(home) : NULL;
}

__attribute__((format(printf, 4, 0))) static void pm2_app_add_problem(struct pm2_app *app,
                                                                      bool warning, const char *key,
                                                                      const char *format,
                                                                      va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	(warning ? problems_warn : problems_add)(app->problems, 0, "app '%s': %s%s%s", app->name,
	                                         key ? key : "", key ? ": " : "",
	                                         text ? text : "out of memory");
}

void pm2_app_problem(struct pm2_app *app, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pm2_app_add_problem(app, false, key, format, args);
	va_end(args);
}

void pm2_app_warn(struct pm2_app *app, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pm2_app_add_problem(app, true, key, format, args);
	va_end(args);
}

void pm2_app_set(struct pm2_app *app, const char *key, const char *option, const char *value)
{
	struct error err;
	const char *why;

	if (run_option_set(app->config, option, value, app->file->n_cpus, &err) == 0)
		return;
	why = strstr(err.text, ": "); /* @key takes the place of our option's name */
	pm2_app_problem(app, key, "%s", why ? why + 2 : err.text);
}
