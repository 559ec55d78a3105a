/* SPDX-License-Identifier: BSD-2-Clause */
/* One app of a PM2 file while a service is made of it: its members and its problems. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "config/load.h"

struct pm2_app {
	const struct load_file *file;
	struct json_object *json;
	const char *name; /* the app's name in PM2 */
	/* The variables that the evaluation of the file has set: an object, or NULL. */
	struct json_object *file_env;
	struct json_object *deploy_env; /* of the environment chosen: an object, or NULL */
	long pm_id; /* of the first worker: PM2 numbers the processes of all apps */
	struct run_config *config;
	struct problems *problems;
};

/* The value of the first of @names that the app sets; NULL if it sets none. null, false and "" do
 * not count as set. @names ends with NULL. *@ret_name, which may be NULL: that name. */
struct json_object *pm2_app_get(const struct pm2_app *app, const char *const *names,
                                const char **ret_name);

/* Text, a number or a boolean as text; NULL for an array, an object or null. */
const char *pm2_app_text(struct json_object *value);

/* The number of workers that `instances` means. As in PM2, 0 and "max" mean one for each CPU, a
 * negative number is subtracted from the CPUs, and a fraction is dropped. 1 if it is not set; 0 if
 * the value is no number, or too large. */
long pm2_app_count_instances(const struct pm2_app *app);

/* The home of the workers' user, which the caller frees; NULL if it has none. */
char *pm2_app_home(const struct pm2_app *app);

/* Adds an error or a warning "app 'NAME': KEY: ...". @key may be NULL. */
void pm2_app_problem(struct pm2_app *app, const char *key, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void pm2_app_warn(struct pm2_app *app, const char *key, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Sets an option of run_option.h. A value that is refused is a problem of @key. */
void pm2_app_set(struct pm2_app *app, const char *key, const char *option, const char *value);
