/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/parse.h"
#include "config/pm2_logs.h"
#include "config/pm2_mode.h"
#include "config/pm2_own.h"
#include "config/run_option.h"
#include "core/env.h"

#define PM2_BACKOFF_MAX_MS 15000
#define BLANKS             " \t"
#define KEY_MAX            64

struct pm2_option {
	const char *name;
	void (*take)(struct pm2_app *app, const struct pm2_option *option,
	             struct json_object *value);
	const char *text; /* the option of run_option.h, or the reason for ignoring this one */
	bool is_flag;     /* PM2 refuses what is neither true nor false */
};

/* Set by another file, or an alias without a meaning of its own. */
static void pm2_options_elsewhere(struct pm2_app *app, const struct pm2_option *option,
                                  struct json_object *value)
{
}

static bool pm2_options_is_off(struct json_object *value)
{
	return json_object_is_type(value, json_type_array) ? !json_object_array_length(value)
	                                                   : !json_object_get_boolean(value);
}

static void pm2_options_unsupported(struct pm2_app *app, const struct pm2_option *option,
                                    struct json_object *value)
{
	if (!pm2_options_is_off(value))
		pm2_app_warn(app, option->name, "ignored: %s", option->text);
}

/* An option that cannot be switched off. */
static void pm2_options_always_on(struct pm2_app *app, const struct pm2_option *option,
                                  struct json_object *value)
{
	if (pm2_options_is_off(value))
		pm2_app_warn(app, option->name, "ignored: %s", option->text);
}

static void pm2_options_text(struct pm2_app *app, const struct pm2_option *option,
                             struct json_object *value)
{
	const char *as_text = pm2_app_text(value);

	if (as_text)
		pm2_app_set(app, option->name, option->text, as_text);
	else
		pm2_app_problem(app, option->name, "the value is neither text nor a number");
}

static void pm2_options_flag(struct pm2_app *app, const struct pm2_option *option,
                             struct json_object *value)
{
	pm2_app_set(app, option->name, option->text, pm2_options_is_off(value) ? "no" : "yes");
}

static void pm2_options_flag_off(struct pm2_app *app, const struct pm2_option *option,
                                 struct json_object *value)
{
	pm2_app_set(app, option->name, option->text, pm2_options_is_off(value) ? "yes" : "no");
}

/* A number of milliseconds, or text such as "10s", "5m" or "1h". */
static void pm2_options_milliseconds(struct pm2_app *app, const struct pm2_option *option,
                                     struct json_object *value)
{
	const char *as_text = pm2_app_text(value);
	const size_t n = as_text ? strlen(as_text) : 0;
	char buf[64];

	if (n && n < sizeof(buf) - 2 && isdigit((unsigned char)as_text[n - 1])) {
		snprintf(buf, sizeof(buf), "%sms", as_text);
		pm2_app_set(app, option->name, option->text, buf);
	} else {
		pm2_options_text(app, option, value);
	}
}

/* Here, 0 would be no time at all; in PM2, it means the default. */
static void pm2_options_kill_timeout(struct pm2_app *app, const struct pm2_option *option,
                                     struct json_object *value)
{
	if (!pm2_options_is_off(value))
		pm2_options_milliseconds(app, option, value);
}

/* In PM2 this is the time before the first restart; later ones take longer. 0 means none. */
static void pm2_options_backoff(struct pm2_app *app, const struct pm2_option *option,
                                struct json_object *value)
{
	const char *as_text = pm2_app_text(value);
	char range[64];
	long ms;

	if (!as_text || parse_long(as_text, 0, 86400 * 1000, &ms) < 0) {
		pm2_app_problem(app, option->name, "the value is not a number of milliseconds");
		return;
	}
	snprintf(range, sizeof(range), "%ldms..%ldms", ms,
	         ms > PM2_BACKOFF_MAX_MS ? ms : PM2_BACKOFF_MAX_MS);
	if (ms)
		pm2_app_set(app, option->name, option->text, range);
}

static void pm2_options_instances(struct pm2_app *app, const struct pm2_option *option,
                                  struct json_object *value)
{
	const long n = pm2_app_count_instances(app);
	char buf[32];

	snprintf(buf, sizeof(buf), "%ld", n);
	if (n)
		pm2_app_set(app, option->name, option->text, buf);
	else
		pm2_options_text(app, option, value);
}

/* pm2_mode_set_sharing() acts on it. */
static void pm2_options_exec_mode(struct pm2_app *app, const struct pm2_option *option,
                                  struct json_object *value)
{
	static const char *const modes[] = {"cluster", "cluster_mode", "fork", "fork_mode"};
	const char *mode = pm2_app_text(value);

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (mode && (!*mode || !strcmp(mode, modes[i])))
			return;
	pm2_app_problem(app, option->name, "the value is neither cluster nor fork");
}

static void pm2_options_wait_ready(struct pm2_app *app, const struct pm2_option *option,
                                   struct json_object *value)
{
	if (!pm2_options_is_off(value) && !pm2_own_has(app, "ready"))
		pm2_app_set(app, option->name, option->text, "message");
}

/* A number, or several. Elements may be texts, as in PM2. */
static void pm2_options_stop_exit_codes(struct pm2_app *app, const struct pm2_option *option,
                                        struct json_object *value)
{
	const bool several = json_object_is_type(value, json_type_array);
	const size_t n = several ? json_object_array_length(value) : 1;
	_cleanup_free_ char *list = NULL;
	size_t size;
	FILE *out = open_memstream(&list, &size);

	for (size_t i = 0; out && i < n; i++) {
		struct json_object *it = several ? json_object_array_get_idx(value, i) : value;
		const char *code = pm2_app_text(it);

		fprintf(out, "%s%s", i ? "," : "", code ? code : "?");
	}
	if (!out || !memory_close_text(out, &list))
		pm2_app_problem(app, NULL, "out of memory");
	else if (n)
		pm2_app_set(app, option->name, option->text, list);
}

/* The least is 1 here. In PM2, 0 means the same as 1: it counts the restart before it compares. */
static void pm2_options_max_restarts(struct pm2_app *app, const struct pm2_option *option,
                                     struct json_object *value)
{
	const char *as_text = pm2_app_text(value);
	long n;

	if (as_text && parse_long(as_text, 0, 0, &n) == 0)
		pm2_app_set(app, option->name, option->text, "1");
	else
		pm2_options_text(app, option, value);
}

/* The last five of six fields; the first one has seconds. NULL if there are not six. @text has no
 * blank at its beginning. */
static const char *pm2_options_after_seconds(const char *text)
{
	const char *five = NULL;
	size_t n = 0;

	for (; *text; text += strspn(text, BLANKS)) {
		if (n++ == 1)
			five = text;
		text += strcspn(text, BLANKS);
	}
	return n == 6 ? five : NULL;
}

static void pm2_options_cron(struct pm2_app *app, const struct pm2_option *option,
                             struct json_object *value)
{
	const char *as_text = pm2_app_text(value), *five;

	if (!as_text || !*as_text || !strcmp(as_text, "0")) /* In PM2, 0 means never. */
		return;
	as_text += strspn(as_text, BLANKS);
	five = pm2_options_after_seconds(as_text);
	if (five && (as_text[0] != '0' || !strchr(BLANKS, as_text[1])))
		pm2_app_warn(app, option->name, "seconds are not supported: '%s' is used", five);
	pm2_app_set(app, option->name, option->text, five ? five : as_text);
}

static void pm2_options_file(struct pm2_app *app, const struct pm2_option *option,
                             struct json_object *value)
{
	pm2_logs_set_file(app, option->name, option->text, value);
}

/* One file or several. */
static void pm2_options_env_file(struct pm2_app *app, const struct pm2_option *option,
                                 struct json_object *value)
{
	if (!json_object_is_type(value, json_type_array)) {
		pm2_options_file(app, option, value);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(value); i++)
		pm2_options_file(app, option, json_object_array_get_idx(value, i));
}

static void pm2_options_namespace(struct pm2_app *app, const struct pm2_option *option,
                                  struct json_object *value)
{
	const char *name = pm2_app_text(value);

	if (name && *name && strcmp(name, "default") != 0)
		pm2_app_warn(app, option->name,
		             "services have no namespaces: give commands the service's name");
}

static const char not_watched[] = "files are not watched; run `reuseportd reload` after a change";
static const char as_they_are[] =
        "lines are written unchanged; the journal, where they go without out_file, has the times";
static const char no_pm2_io[] = "reuseportd adds no code to the program";
static const char no_source_maps[] = "use node_args to give node --enable-source-maps";

static const struct pm2_option options[] = {
        {"name", pm2_options_elsewhere},
        {"script", pm2_options_elsewhere},
        {"exec", pm2_options_elsewhere},
        {"cmd", pm2_options_elsewhere},
        {"command", pm2_options_elsewhere},
        {"args", pm2_options_elsewhere},
        {"interpreter", pm2_options_elsewhere},
        {"exec_interpreter", pm2_options_elsewhere},
        {"node_args", pm2_options_elsewhere},
        {"interpreter_args", pm2_options_elsewhere},
        {"interpreterArgs", pm2_options_elsewhere},
        {"cwd", pm2_options_elsewhere},
        {"env", pm2_options_elsewhere},
        {"port", pm2_options_elsewhere},
        {"autostart", pm2_options_elsewhere, .is_flag = true},
        {"execute_command", pm2_options_elsewhere, .is_flag = true},
        {"instances", pm2_options_instances, "workers"},
        {"exec_mode", pm2_options_exec_mode},
        {"wait_ready", pm2_options_wait_ready, "ready", true},
        {"listen_timeout", pm2_options_milliseconds, "ready-timeout"},
        {"kill_timeout", pm2_options_kill_timeout, "kill-timeout"},
        {"shutdown_with_message", pm2_options_flag, "shutdown-message", true},
        {"max_memory_restart", pm2_options_text, "max-memory"},
        {"max_restarts", pm2_options_max_restarts, "max-restarts"},
        {"min_uptime", pm2_options_milliseconds, "min-uptime"},
        {"exp_backoff_restart_delay", pm2_options_backoff, "backoff"},
        {"restart_delay", pm2_options_milliseconds, "restart-delay"},
        {"autorestart", pm2_options_flag_off, "no-restart", true},
        {"stop_exit_codes", pm2_options_stop_exit_codes, "stop-exit-codes"},
        {"cron_restart", pm2_options_cron, "cron-restart"},
        {"cron", pm2_options_cron, "cron-restart"},
        {"out_file", pm2_options_file, "out-file"},
        {"out", pm2_options_file, "out-file"},
        {"output", pm2_options_file, "out-file"},
        {"out_log", pm2_options_file, "out-file"},
        {"error_file", pm2_options_file, "error-file"},
        {"error", pm2_options_file, "error-file"},
        {"err", pm2_options_file, "error-file"},
        {"err_file", pm2_options_file, "error-file"},
        {"err_log", pm2_options_file, "error-file"},
        {"log_file", pm2_options_elsewhere},
        {"log", pm2_options_elsewhere},
        {"disable_logs", pm2_options_elsewhere, .is_flag = true},
        {"merge_logs", pm2_options_elsewhere, .is_flag = true},
        {"combine_logs", pm2_options_elsewhere, .is_flag = true},
        {"increment_var", pm2_options_elsewhere},
        {"instance_var", pm2_options_elsewhere},
        {"uid", pm2_options_text, "user"},
        {"user", pm2_options_text, "user"},
        {"gid", pm2_options_text, "group"},
        {"group", pm2_options_text, "group"},
        {"env_file", pm2_options_env_file, "env-file"},

        {"watch", pm2_options_unsupported, not_watched},
        {"ignore_watch", pm2_options_unsupported, not_watched},
        {"watch_delay", pm2_options_unsupported, not_watched},
        {"watch_options", pm2_options_unsupported, not_watched},
        {"namespace", pm2_options_namespace},
        {"name_prefix", pm2_options_unsupported, "the service has the name of the app"},
        {"append_env_to_name", pm2_options_elsewhere, .is_flag = true},
        {"filter_env", pm2_options_unsupported,
         "workers of another user get a clean environment, others that of reuseportd"},
        {"install_url", pm2_options_unsupported, "nothing is installed"},
        {"post_update", pm2_options_unsupported, "nothing is updated"},
        {"log_type", pm2_options_unsupported, as_they_are},
        {"log_date_format", pm2_options_unsupported, as_they_are},
        {"time", pm2_options_unsupported, as_they_are},
        {"pid_file", pm2_options_unsupported, "`reuseportd status` shows the process IDs"},
        {"pid", pm2_options_unsupported, "`reuseportd status` shows the process IDs"},
        {"source_map_support", pm2_options_unsupported, no_source_maps},
        {"disable_source_map_support", pm2_options_elsewhere},
        {"vizion", pm2_options_unsupported, "there is no versioning metadata"},
        {"trace", pm2_options_unsupported, no_pm2_io},
        {"disable_trace", pm2_options_elsewhere},
        {"v8", pm2_options_unsupported, no_pm2_io},
        {"event_loop_inspector", pm2_options_unsupported, no_pm2_io},
        {"deep_monitoring", pm2_options_unsupported, no_pm2_io},
        {"pmx", pm2_options_unsupported, no_pm2_io},
        {"automation", pm2_options_unsupported, no_pm2_io},
        {"io", pm2_options_unsupported, no_pm2_io},
        {"treekill", pm2_options_always_on, "all processes of a worker are always stopped with it",
         true},
        {"kill_retry_time", pm2_options_unsupported, "SIGKILL reaches a whole cgroup at once"},
        {"force", pm2_options_unsupported, "a service runs only once"},
        {"username", pm2_options_unsupported, "`user` sets the user of the workers"},
        {"windowsHide", pm2_options_elsewhere},
        {"write", pm2_options_unsupported, "no file is written"},
};

static const char *pm2_options_name_of(const void *data, size_t i)
{
	return options[i].name;
}

bool pm2_options_is_known(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (!strcmp(key, options[i].name))
			return true;
	return !strncmp(key, "env_", 4);
}

/* The option of PM2, or else of ours, that is spelled most like @key. */
static void pm2_options_find_near(const char *key, char ret[KEY_MAX])
{
	const char *near = nearest_find(key, pm2_options_name_of, NULL, ARRAY_SIZE(options));

	if (!near)
		near = option_nearest(run_options, key);
	snprintf(ret, KEY_MAX, "%s", near ? near : "");
	for (char *at = ret; (at = strchr(at, '-'));)
		*at = '_';
}

static void pm2_options_warn_of_unknown(struct pm2_app *app)
{
	json_object_object_foreach(app->json, key, value)
	{
		char near[KEY_MAX];

		if (!value || pm2_options_is_known(key) || pm2_own_find(key) ||
		    problems_is_full(app->problems))
			continue;
		pm2_options_find_near(key, near);
		pm2_app_warn(app, key, "ignored: there is no such option%s%s%s",
		             *near ? "; did you mean '" : "", near, *near ? "'?" : "");
	}
}

/* A later name of the same option that the app sets as well; NULL if there is none. */
static const char *pm2_options_other_name(const struct pm2_app *app,
                                          const struct pm2_option *option)
{
	if (option->take == pm2_options_unsupported || option->take == pm2_options_elsewhere)
		return NULL;
	for (const struct pm2_option *o = option + 1; o < options + ARRAY_SIZE(options); o++)
		if (o->take == option->take && o->text && option->text &&
		    !strcmp(o->text, option->text) &&
		    !pm2_options_is_off(json_object_object_get(app->json, o->name)))
			return o->name;
	return NULL;
}

/* Sets the options that belong to the user, or those that don't. */
static void pm2_options_set_some(struct pm2_app *app, bool of_user)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const char *text = options[i].text ? options[i].text : "", *other;
		struct json_object *value = json_object_object_get(app->json, options[i].name);

		if (!value || (!strcmp(text, "user") || !strcmp(text, "group")) != of_user)
			continue;
		other = pm2_options_other_name(app, &options[i]);
		if (other)
			pm2_app_warn(app, options[i].name, "ignored: %s sets the same option",
			             other);
		else if (options[i].is_flag && !json_object_is_type(value, json_type_boolean))
			pm2_app_problem(app, options[i].name,
			                "the value is neither true nor false");
		else
			options[i].take(app, &options[i], value);
	}
}

void pm2_options_set_user(struct pm2_app *app)
{
	pm2_options_set_some(app, true);
}

void pm2_options_set(struct pm2_app *app)
{
	struct run_config *config = app->config;

	pm2_options_set_some(app, false);
	pm2_options_warn_of_unknown(app);
	pm2_mode_set_sharing(app);
	pm2_mode_set_ready_times(app);
	pm2_mode_set_restarts(app);
	pm2_logs_set(app);
	if (!config->restart && config->restart_delay) {
		pm2_app_warn(app, "restart_delay", "ignored: autorestart is off");
		config->restart_delay = 0;
	}
}
