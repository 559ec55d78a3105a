/* SPDX-License-Identifier: BSD-2-Clause */
/* One app of a PM2 file, while a service is made of it. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "config/load.h"

struct pm2_app {
	const struct load_file *file;
	struct json_object *json;
	const char *name; /* as PM2 has it */
	const char *cwd;  /* as the app says it; NULL = it doesn't */
	struct run_config *config;
	struct problems *problems;
};

/* The members that choose a program, and what else a table of options can't say. */

/* script, args, interpreter, node_args, cwd: config->argv and config->cwd. */
void pm2_take_command(struct pm2_app *app);

/* env, env_NAME, port. */
void pm2_take_env(struct pm2_app *app);

/* Everything else, by the table of PM2's options. */
void pm2_take_options(struct pm2_app *app);

/* The first of @names, which ends in NULL, that the app has a value for; NULL if none. null, false
 * and "" are none. *@ret_name, unless NULL: which one. */
struct json_object *pm2_get(const struct pm2_app *app, const char *const *names,
                            const char **ret_name);

/* As a text, numbers and booleans too; NULL if it is an array, an object or null. */
const char *pm2_text(struct json_object *value);

/* "app 'api': KEY: ..." */
void pm2_problem(struct pm2_app *app, const char *key, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void pm2_warn(struct pm2_app *app, const char *key, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* run_option_set(), where a refusal is a problem of @key. */
void pm2_set(struct pm2_app *app, const char *key, const char *option, const char *value);
