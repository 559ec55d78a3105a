/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_own.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/pm2_options.h"
#include "config/run_option.h"

const struct option_row *pm2_own_find(const char *key)
{
	char name[32];
	size_t n = 0;

	while (*key && *key != '-' && n < sizeof(name) - 1) {
		name[n++] = *key == '_' ? '-' : *key;
		key++;
	}
	name[n] = '\0';
	return *key ? NULL : option_find(run_options, name);
}

bool pm2_own_has(const struct pm2_app *app, const char *key)
{
	return json_object_object_get(app->json, key);
}

/* Sets an option once. false and null mean that an option with a value is not set. */
static void pm2_own_set_value(struct pm2_app *app, const char *key, const struct option_row *row,
                              struct json_object *value)
{
	const bool is_flag = json_object_is_type(value, json_type_boolean);
	const char *text = pm2_app_text(value);
	const size_t n = text ? strlen(text) : 0;
	char buf[64];

	if (!value || (is_flag && row->argument && !json_object_get_boolean(value)))
		return;
	if (!text) {
		pm2_app_problem(app, key, "the value is neither text nor a number");
		return;
	}
	if (row->set == option_set_time && n && n < sizeof(buf) - 2 &&
	    isdigit((unsigned char)text[n - 1])) {
		snprintf(buf, sizeof(buf), "%sms", text);
		text = buf;
	}
	pm2_app_set(app, key, row->name, is_flag && json_object_get_boolean(value) ? "yes" : text);
}

static void pm2_own_set_all(struct pm2_app *app, const char *key, const struct option_row *row,
                            struct json_object *value)
{
	if (!json_object_is_type(value, json_type_array) || !row->repeatable) {
		pm2_own_set_value(app, key, row, value);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(value); i++)
		pm2_own_set_value(app, key, row, json_object_array_get_idx(value, i));
}

void pm2_own_set(struct pm2_app *app)
{
	json_object_object_foreach(app->json, key, value)
	{
		const struct option_row *row = pm2_options_is_known(key) ? NULL : pm2_own_find(key);

		if (row && !problems_is_full(app->problems))
			pm2_own_set_all(app, key, row, value);
	}
}

void pm2_own_set_again(struct pm2_app *app, const char *key)
{
	struct json_object *value = json_object_object_get(app->json, key);

	if (value)
		pm2_own_set_all(app, key, pm2_own_find(key), value);
}
