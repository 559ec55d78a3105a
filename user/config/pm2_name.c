/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/pm2_app.h"
#include "core/service_name.h"

/* The text of the first of @keys that the app sets; NULL if there is none. */
static const char *pm2_name_text(struct json_object *json, const char *const *keys)
{
	const struct pm2_app app = {.json = json};

	return json_object_is_type(json, json_type_object)
	               ? pm2_app_text(pm2_app_get(&app, keys, NULL))
	               : NULL;
}

/* The name of the app in PM2: without one, the script without its extension. The caller frees it;
 * NULL if memory is short. */
static char *pm2_name_of_app(const struct load_file *file, struct json_object *json)
{
	static const char *const names[] = {"name", NULL}, *const appends[] = {"append_env_to_name",
	                                                                       NULL};
	static const char *const scripts[] = {"script", "exec", "cmd", "command", NULL};
	const char *name = pm2_name_text(json, names), *script = pm2_name_text(json, scripts);
	const char *slash = script ? strrchr(script, '/') : NULL;
	char *made;

	if (name && file->env && pm2_name_text(json, appends))
		return asprintf(&made, "%s-%s", name, file->env) < 0 ? NULL : made;
	if (name)
		return strdup(name);
	made = strdup(slash ? slash + 1 : script ? script : "app");
	if (made && strrchr(made, '.') > made)
		*strrchr(made, '.') = '\0';
	return made;
}

/* The name that the file gives the service, if it is a valid one; else what is closest. */
static void pm2_name_derive(struct json_object *json, const char *app, char ret[RPD_LABEL_MAX])
{
	static const char *const services[] = {"service", NULL};
	const char *given = pm2_name_text(json, services);

	if (!given)
		given = app;
	if (service_name_check(given, NULL) == 0)
		strcpy(ret, given);
	else
		service_name_derive(given, 0, ret);
}

/* Whether a service before app @i has the name, or a later app literally. */
static bool pm2_name_is_taken(const struct pm2_name *names, size_t n, size_t i, const char *name)
{
	for (size_t j = 0; j < n; j++)
		if (!strcmp(j < i ? names[j].service : names[j].app, name) && j != i)
			return true;
	return false;
}

static void pm2_name_append(const char *name, const char *suffix, char ret[RPD_LABEL_MAX])
{
	char all[2 * RPD_LABEL_MAX];
	const size_t n = strnlen(suffix, RPD_LABEL_MAX / 2);

	snprintf(all, sizeof(all), "%.*s-%.*s", (int)(RPD_LABEL_MAX - 2 - n), name, (int)n, suffix);
	service_name_derive(all, 0, ret);
}

/* The app's namespace or port tells it from others of its name; otherwise, a number. */
static void pm2_name_make_unique(struct json_object *json, const struct pm2_name *names, size_t n,
                                 size_t i, char name[RPD_LABEL_MAX])
{
	static const char *const namespaces[] = {"namespace", NULL}, *const ports[] = {"port",
	                                                                               NULL};
	static const char *const variables[] = {"PORT", NULL};
	const char *suffixes[] = {pm2_name_text(json, namespaces), pm2_name_text(json, ports),
	                          pm2_name_text(json_object_object_get(json, "env"), variables)};
	char made[RPD_LABEL_MAX];
	unsigned int same = 2;

	for (size_t j = 0; j < i; j++)
		same += !strcmp(names[j].app, names[i].app);
	same -= same > 2;
	for (size_t s = 0; s < ARRAY_SIZE(suffixes); s++) {
		if (!suffixes[s] || (s == 0 && !strcmp(suffixes[s], "default")))
			continue;
		pm2_name_append(name, suffixes[s], made);
		if (!pm2_name_is_taken(names, n, i, made)) {
			strcpy(name, made);
			return;
		}
	}
	do {
		char number[16];

		snprintf(number, sizeof(number), "%u", same++);
		pm2_name_append(name, number, made);
	} while (pm2_name_is_taken(names, n, i, made));
	strcpy(name, made);
}

struct pm2_name *pm2_name_new(const struct load_file *file, struct json_object *const *apps,
                              size_t n)
{
	struct pm2_name *names = calloc(n + 1, sizeof(*names));

	for (size_t i = 0; names && i < n; i++) {
		names[i].app = pm2_name_of_app(file, apps[i]);
		if (!names[i].app) {
			pm2_name_free(names, n);
			return NULL;
		}
	}
	for (size_t i = 0; names && i < n; i++) {
		char *service = names[i].service;
		bool taken;

		pm2_name_derive(apps[i], names[i].app, service);
		/* An app keeps its own name, even if a later one has the same. */
		taken = pm2_name_is_taken(names, strcmp(service, names[i].app) ? n : i, i, service);
		if (taken && json_object_is_type(apps[i], json_type_object) &&
		    !json_object_object_get(apps[i], "service"))
			pm2_name_make_unique(apps[i], names, n, i, service);
	}
	return names;
}

void pm2_name_free(struct pm2_name *names, size_t n)
{
	for (size_t i = 0; names && i < n; i++)
		free(names[i].app);
	free(names);
}
