/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_limit.h"
#include "config/file_user.h"
#include "config/node.h"
#include "config/pm2_app.h"
#include "config/pm2_command.h"
#include "config/pm2_env.h"
#include "config/pm2_options.h"
#include "core/service_name.h"

#define PM2_KILL_TIMEOUT (1600 * 1000000ll)
#define PM2_PRINTED_MAX  200 /* bytes of what a module prints, in a warning */

static void pm2_report(void *data, const char *option, const char *text)
{
	struct pm2_app *app = data;

	/* A missing command or number of workers has been reported as a problem of PM2's options.
	 */
	if (option && strcmp(option, "workers") != 0)
		pm2_app_problem(app, option, "%s", text);
}

/* Sets the app's name. Returns whether to run the app, and then the name of its service, which may
 * have fewer characters. */
static bool pm2_name_app(struct pm2_app *app, char ret_name[RPD_LABEL_MAX])
{
	static const char *const names[] = {"name", NULL};
	static const char *const scripts[] = {"script", "exec", "cmd", "command", NULL};
	const char *script = pm2_app_text(pm2_app_get(app, scripts, NULL));
	const char *slash = script ? strrchr(script, '/') : NULL;
	struct json_object *autostart = json_object_object_get(app->json, "autostart");

	app->name = pm2_app_text(pm2_app_get(app, names, NULL));
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
		pm2_app_warn(app, "autostart", "the app is ignored; `--only %s` runs it",
		             app->name);
		return false;
	}
	service_name_derive(app->name, 0, ret_name);
	return true;
}

static void pm2_name_service(struct pm2_app *app, const char *made)
{
	struct error err;

	if (service_name_check(app->name, &err) == 0) {
		strcpy(app->config->service, app->name);
		return;
	}
	strcpy(app->config->service, made);
	pm2_app_warn(app, "name", "the service is named '%s'", made);
}

static void pm2_note_fault(struct pm2_app *app, struct load_result *loaded, const char *option,
                           const struct error *why)
{
	char text[sizeof(why->text) + 128];

	snprintf(text, sizeof(text), "app '%s': %s: %s", app->name,
	         strcmp(option, "cwd") != 0 ? "env_file" : option, why->text);
	load_note_fault(loaded, app->file, 0, text);
}

static void pm2_load_app(const struct load_file *file, struct json_object *json,
                         struct load_result *ret)
{
	struct pm2_app app = {.file = file, .json = json, .problems = &ret->problems, .name = "?"};
	char name[RPD_LABEL_MAX];
	const char *option;
	struct error err;

	if (!json_object_is_type(json, json_type_object)) {
		problems_add(app.problems, 0, "an app is not an object");
		return;
	}
	if (!pm2_name_app(&app, name))
		return;
	app.config = load_add(ret);
	if (!app.config)
		return;
	app.config->stop_signal = SIGINT;
	app.config->kill_timeout = PM2_KILL_TIMEOUT;
	pm2_name_service(&app, name);
	load_check_name(ret, 0);
	pm2_options_set_user(&app);
	file_user_set(file, app.config, pm2_report, &app);
	pm2_command_set(&app);
	pm2_env_set(&app);
	pm2_options_set(&app);
	run_config_report_problems(app.config, pm2_report, &app);
	load_host_problems(app.config, pm2_report, &app);
	if (load_environment(app.config, &option, &err) < 0)
		pm2_note_fault(&app, ret, option, &err);
	if (load_find_program(app.config, &err) < 0)
		pm2_app_warn(&app, NULL, "%s", err.text);
}

/* Warns of members other than the apps. */
static void pm2_warn_of_others(struct json_object *top, struct problems *problems)
{
	json_object_object_foreach(top, key, value)
	{
		if (!strcmp(key, "apps") || !strcmp(key, "pm2") || !value)
			continue;
		problems_warn(problems, 0,
		              strcmp(key, "deploy") != 0
		                      ? "'%s' is unknown and is ignored"
		                      : "'%s' is for `pm2 deploy` and is ignored",
		              key);
	}
}

/* The apps are an array or one object, either the member `apps` or the whole file. */
static void pm2_load_apps(const struct load_file *file, struct json_object *top,
                          struct load_result *ret)
{
	struct json_object *apps = top;

	if (json_object_is_type(top, json_type_object) &&
	    (json_object_object_get_ex(top, "apps", &apps) ||
	     json_object_object_get_ex(top, "pm2", &apps)))
		pm2_warn_of_others(top, &ret->problems);
	if (json_object_is_type(apps, json_type_object)) {
		pm2_load_app(file, apps, ret);
		return;
	}
	if (!json_object_is_type(apps, json_type_array) || !json_object_array_length(apps)) {
		problems_add(&ret->problems, 0, "the file has no apps");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(apps); i++)
		pm2_load_app(file, json_object_array_get_idx(apps, i), ret);
}

static unsigned int pm2_count_lines(const char *text, size_t offset)
{
	unsigned int line = 1;

	for (size_t i = 0; i < offset && text[i]; i++)
		line += text[i] == '\n';
	return line;
}

/* NULL, with a problem, if the text is not JSON. */
static struct json_object *pm2_parse(const char *text, struct problems *problems)
{
	const size_t n = strlen(text);
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *top = tokener && json_limit_allows(text, n)
	                                  ? json_tokener_parse_ex(tokener, text, n + 1)
	                                  : NULL;
	enum json_tokener_error error =
	        tokener ? json_tokener_get_error(tokener) : json_tokener_error_size;

	if (!json_limit_allows(text, n))
		problems_add(problems, 0, "there are too many objects and arrays");
	else if (!top && error == json_tokener_success)
		problems_add(problems, 0, "the file has no apps"); /* null */
	else if (!top)
		problems_add(
		        problems,
		        pm2_count_lines(text, tokener ? json_tokener_get_parse_end(tokener) : 0),
		        "this is not JSON: %s", json_tokener_error_desc(error));
	if (tokener)
		json_tokener_free(tokener);
	return top;
}

/* The text of the file or, of a module, what it exports. 1 with a problem if the module is bad. */
static int pm2_read(const struct load_file *file, struct problems *problems, char **ret,
                    struct error *err)
{
	const struct node_request request = {.path = file->path,
	                                     .user = file->owner ? file->owner->user : NULL,
	                                     .group = file->owner ? file_owner_group(file->owner)
	                                                          : NULL};
	struct node_answer answer;
	struct error why;
	int r = load_read_file(file, ret, NULL, err);

	if (r < 0 || !strcmp(strrchr(file->path, '.'), ".json"))
		return r;
	free(TAKE_PTR(*ret));
	r = node_read(&request, &answer, &why);
	if (r < 0 && err)
		*err = why;
	if (r == NODE_REJECTED)
		problems_add(problems, answer.line, "%s", why.text);
	if (r == 0 && answer.printed) {
		answer.printed[strcspn(answer.printed, "\n")] = '\0';
		problems_warn(problems, 0, "the file prints: %.*s", PM2_PRINTED_MAX,
		              answer.printed);
	}
	*ret = answer.text;
	free(answer.printed);
	return r;
}

void pm2_load_text(const struct load_file *file, const char *text, struct load_result *ret)
{
	struct json_object *top = pm2_parse(text, &ret->problems);

	if (top)
		pm2_load_apps(file, top, ret);
	json_object_put(top);
}

int pm2_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = pm2_read(file, &ret->problems, &text, err);

	if (r == 0)
		pm2_load_text(file, text, ret);
	return r < 0 ? r : 0;
}
