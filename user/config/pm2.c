/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2.h"

#include <errno.h>
#include <json-c/json_visit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_limit.h"
#include "base/memory.h"
#include "config/file_user.h"
#include "config/node.h"
#include "config/pm2_app.h"
#include "config/pm2_command.h"
#include "config/pm2_env.h"
#include "config/pm2_key.h"
#include "config/pm2_name.h"
#include "config/pm2_options.h"
#include "config/pm2_own.h"
#include "config/pm2_vars.h"
#include "core/service_name.h"
#include "kern/credentials.h"

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

/* Whether to run the app. */
static bool pm2_wants(struct pm2_app *app, const struct pm2_name *name)
{
	struct json_object *autostart = json_object_object_get(app->json, "autostart");

	if (!load_file_wants(app->file, name->app) && !load_file_wants(app->file, name->service))
		return false;
	if (json_object_is_type(autostart, json_type_boolean) &&
	    !json_object_get_boolean(autostart) && !app->file->only) {
		pm2_app_warn(app, "autostart", "the app is ignored; `--only %s` runs it",
		             name->service);
		return false;
	}
	return true;
}

static void pm2_name_service(struct pm2_app *app, const struct pm2_name *name)
{
	char literal[RPD_LABEL_MAX];

	strcpy(app->config->service, name->service);
	if (!strcmp(name->service, name->app) || json_object_object_get(app->json, "service"))
		return;
	service_name_derive(name->app, 0, literal);
	if (strcmp(name->service, literal) != 0 || strlen(name->app) >= RPD_LABEL_MAX)
		pm2_app_warn(app, "name",
		             "the service is named '%s', as %s; set `service` to name it otherwise",
		             name->service,
		             strcmp(name->service, literal) != 0
		                     ? "another app has this name; commands find it only by "
		                       "the name of the service"
		                     : "the name is too long");
	else
		pm2_app_warn(app, "name", "the service is named '%s'; commands know both names",
		             name->service);
}

static void pm2_note_fault(struct pm2_app *app, struct load_result *loaded, const char *option,
                           const struct error *why)
{
	char text[sizeof(why->text) + 128];

	snprintf(text, sizeof(text), "app '%s': %s: %s", app->name,
	         strcmp(option, "cwd") != 0 ? "env_file" : option, why->text);
	load_note_fault(loaded, app->file, 0, text);
}

/* The user's own environment is a clean one (kern/user_env.h). */
static void pm2_warn_of_user(struct pm2_app *app)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;

	if (app->config->user &&
	    credentials_find(&id, app->config->user, app->config->group, &ignored) == 0 &&
	    id.set_user && id.uid != geteuid())
		pm2_app_warn(app, "uid",
		             "the workers do not have the environment of reuseportd, but a clean "
		             "one: set in `env` or `env_file` what they need of it");
}

static void pm2_load_app(struct pm2_app *app, const struct pm2_name *name, struct load_result *ret)
{
	const char *option;
	struct error err;
	int r;

	app->config = load_add(ret);
	if (!app->config)
		return;
	app->config->stop_signal = SIGINT;
	app->config->kill_timeout = PM2_KILL_TIMEOUT;
	app->config->open_input = true;
	pm2_name_service(app, name);
	load_check_name(ret, 0);
	app->config->workers = 1;
	pm2_options_set_user(app);
	pm2_own_set(app);
	pm2_warn_of_user(app);
	file_user_set(app->file, app->config, pm2_report, app);
	pm2_command_set(app);
	pm2_env_set(app);
	pm2_options_set(app);
	pm2_vars_set(app);
	run_config_report_problems(app->config, pm2_report, app);
	load_host_problems(app->config, pm2_report, app);
	r = load_environment(ret, &option, &err);
	if (r < 0)
		pm2_note_fault(app, ret, option, &err);
	else if (r == LOAD_ENV_DIFFERS)
		pm2_app_warn(app, "env_file", "%s", err.text);
	if (load_find_program(app->config, &err) < 0)
		pm2_app_warn(app, NULL, "%s", err.text);
}

/* --- all apps */

struct pm2_apps {
	const struct load_file *file;
	struct json_object **list;
	struct pm2_name *names;
	size_t n;
};

static bool pm2_has_app(const void *data, const char *name)
{
	const struct pm2_apps *apps = data;

	for (size_t i = 0; i < apps->n; i++)
		if (!strcmp(apps->names[i].app, name) || !strcmp(apps->names[i].service, name))
			return true;
	return false;
}

/* The variables that `deploy` has for the chosen environment. */
static struct json_object *pm2_find_deploy_env(const struct load_file *file,
                                               struct json_object *top)
{
	struct json_object *deploy = json_object_object_get(top, "deploy");
	struct json_object *chosen = file->env ? json_object_object_get(deploy, file->env) : NULL;

	return json_object_object_get(chosen, "env");
}

static void pm2_load_all(const struct pm2_apps *apps, struct json_object *file_env,
                         struct json_object *deploy_env, struct load_result *ret)
{
	long pm_id = 0;

	for (size_t i = 0; i < apps->n; i++) {
		struct pm2_app app = {.file = apps->file,
		                      .json = apps->list[i],
		                      .problems = &ret->problems,
		                      .name = apps->names[i].app,
		                      .file_env = file_env,
		                      .deploy_env = deploy_env,
		                      .pm_id = pm_id};

		if (!json_object_is_type(app.json, json_type_object)) {
			problems_add(app.problems, 0, "an app is not an object");
			continue;
		}
		if (pm2_wants(&app, &apps->names[i]))
			pm2_load_app(&app, &apps->names[i], ret);
		pm_id += pm2_app_count_instances(&app);
	}
	load_check_only(apps->file, &ret->problems, pm2_has_app, apps);
}

/* Warns of members other than the apps. */
static void pm2_warn_of_others(struct json_object *top, struct problems *problems)
{
	json_object_object_foreach(top, key, value)
	{
		if (!strcmp(key, "apps") || !strcmp(key, "pm2") || !value)
			continue;
		problems_warn(problems, 0,
		              !strcmp(key, "deploy")
		                      ? "'%s' is for `pm2 deploy` and is ignored, except its "
		                        "variables for --env"
		              : !strcmp(key, "static")
		                      ? "'%s' is for PM2's server of static files and is ignored: "
		                        "let another server do that, such as nginx"
		                      : "'%s' is unknown and is ignored",
		              key);
	}
}

/* The apps are an array or one object, either the member `apps` or the whole file. */
static void pm2_load_apps(const struct load_file *file, struct json_object *top,
                          struct json_object *file_env, struct load_result *ret)
{
	struct json_object *member, *found = top;
	struct pm2_apps apps = {.file = file, .list = &found, .n = 1};

	if (json_object_is_type(top, json_type_object) &&
	    (json_object_object_get_ex(top, "apps", &member) ||
	     json_object_object_get_ex(top, "pm2", &member))) {
		found = member;
		pm2_warn_of_others(top, &ret->problems);
	}
	if (json_object_is_type(found, json_type_array)) {
		apps.n = json_object_array_length(found);
		apps.list = (struct json_object **)json_object_get_array(found)->array;
	} else if (!json_object_is_type(found, json_type_object)) {
		apps.n = 0;
	}
	if (!apps.n)
		problems_add(&ret->problems, 0, "the file has no apps");
	else if (apps.n > LOAD_SERVICES_MAX)
		problems_add(&ret->problems, 0, "there are more than %d apps", LOAD_SERVICES_MAX);
	if (!apps.n || apps.n > LOAD_SERVICES_MAX)
		return;
	for (size_t i = 0; i < apps.n; i++)
		pm2_key_unify(apps.list[i]);
	apps.names = pm2_name_new(file, apps.list, apps.n);
	if (apps.names)
		pm2_load_all(&apps, file_env, pm2_find_deploy_env(file, top), ret);
	else
		problems_add(&ret->problems, 0, "out of memory");
	pm2_name_free(apps.names, apps.n);
}

static unsigned int pm2_count_lines(const char *text, size_t offset)
{
	unsigned int line = 1;

	for (size_t i = 0; i < offset && text[i]; i++)
		line += text[i] == '\n';
	return line;
}

static const char pm2_blanks[] = " \t\r\n";

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
	size_t end = tokener ? json_tokener_get_parse_end(tokener) : 0;

	end = end > n ? n : end;
	if (top && text[end + strspn(text + end, pm2_blanks)]) {
		json_object_put(TAKE_PTR(top));
		error = json_tokener_error_parse_unexpected;
	}
	if (!json_limit_allows(text, n))
		problems_add(problems, 0, "there are too many objects and arrays");
	else if (!top && error == json_tokener_success)
		problems_add(problems, 0, "the file has no apps"); /* null */
	else if (!top)
		problems_add(problems, pm2_count_lines(text, end), "this is not JSON: %s",
		             json_tokener_error_desc(error));
	if (tokener)
		json_tokener_free(tokener);
	return top;
}

/* The names in an array, such as "A, B". The caller frees the text. */
static char *pm2_format_names(struct json_object *names)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; out && i < json_object_array_length(names) && size < PM2_PRINTED_MAX;
	     i++) {
		fprintf(out, "%s%s", i ? ", " : "",
		        json_object_get_string(json_object_array_get_idx(names, i)));
		fflush(out);
	}
	return out ? memory_close_text(out, &text) : NULL;
}

static void pm2_warn_of_names(struct json_object *answer, const char *key, const char *format,
                              struct problems *problems)
{
	struct json_object *names = json_object_object_get(answer, key);
	_cleanup_free_ char *text = NULL;

	if (!json_object_is_type(names, json_type_array) || !json_object_array_length(names))
		return;
	text = pm2_format_names(names);
	problems_warn(problems, 0, "%s%s", text ? text : "", format);
}

void pm2_load_answer(const struct load_file *file, const char *text, struct load_result *ret)
{
	struct json_object *answer = pm2_parse(text, &ret->problems), *exports = NULL, *env = NULL;

	if (!answer)
		return;
	json_object_object_get_ex(answer, "exports", &exports);
	json_object_object_get_ex(answer, "env", &env);
	pm2_warn_of_names(answer, "removed",
	                  ": the file deletes this variable, or it is undefined in `env`, but the "
	                  "workers have it all the same; `env` can set another value",
	                  &ret->problems);
	pm2_warn_of_names(answer, "functions",
	                  ": ignored: it is a function; call it, so that there is a value",
	                  &ret->problems);
	pm2_load_apps(file, exports, json_object_is_type(env, json_type_object) ? env : NULL, ret);
	json_object_put(answer);
}

/* Lets node evaluate the file. 1 with a problem if the file is bad. */
static int pm2_evaluate(const struct load_file *file, bool is_text, struct problems *problems,
                        char **ret, struct error *err)
{
	const struct node_request request = {.path = file->path,
	                                     .is_text = is_text,
	                                     .user = file->owner ? file->owner->user : NULL,
	                                     .group = file->owner ? file_owner_group(file->owner)
	                                                          : NULL};
	struct node_answer answer;
	struct error why;
	int r = node_read(&request, &answer, &why);

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
		pm2_load_apps(file, top, NULL, ret);
	json_object_put(top);
}

/* For json_c_visit(): an error for a number that JavaScript writes in another way, such as 1.0. */
static int pm2_check_number(struct json_object *value, int flags, struct json_object *parent,
                            const char *key, size_t *index, void *data)
{
	const int64_t exact = 1ll << 53;
	const bool is_int = json_object_is_type(value, json_type_int);
	const int64_t number = is_int ? json_object_get_int64(value) : 0;

	return json_object_is_type(value, json_type_double) || number > exact || number < -exact
	               ? JSON_C_VISIT_RETURN_ERROR
	               : JSON_C_VISIT_RETURN_CONTINUE;
}

/* Whether the file means the same without node. */
static bool pm2_is_json(const char *text)
{
	struct problems problems = {};
	struct json_object *top = pm2_parse(text, &problems);
	const bool is_json =
	        !problems.n_errors && json_c_visit(top, 0, pm2_check_number, NULL) == 0;

	json_object_put(top);
	problems_free(&problems);
	return is_json;
}

int pm2_load(const struct load_file *file, struct load_result *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL, *answer = NULL;
	const char *begin;
	const bool is_text = !strncmp(strrchr(file->path, '.'), ".json", 5);
	int r = load_read_file(file, &text, NULL, err);

	if (r < 0)
		return r;
	begin = strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3;
	/* PM2 lets node evaluate all, so comments and keys without quotes are allowed. */
	if (!is_text || !pm2_is_json(begin))
		r = pm2_evaluate(file, is_text, &ret->problems, &answer, err);
	if (answer)
		pm2_load_answer(file, answer, ret);
	else if (r == 0)
		pm2_load_text(file, begin, ret);
	else if (r == -ENOENT && is_text) {
		problems_warn(&ret->problems, 0,
		              "node is not installed, so only plain JSON can be read");
		pm2_load_text(file, begin, ret);
	} else
		return r < 0 ? r : 0;
	return 0;
}
