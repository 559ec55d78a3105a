/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_key.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "config/pm2_options.h"
#include "config/pm2_own.h"

#define KEY_MAX 64

/* The spelling with underscores. Whether it differs. */
static bool pm2_key_spell(const char *key, char ret[KEY_MAX])
{
	size_t n = 0;

	if (strlen(key) >= KEY_MAX / 2)
		return false;
	for (const char *at = key; *at; at++) {
		if (isupper((unsigned char)*at) && n)
			ret[n++] = '_';
		ret[n++] = (char)tolower((unsigned char)*at);
	}
	ret[n] = '\0';
	return strcmp(key, ret) != 0;
}

static bool pm2_key_is_other_spelling(struct json_object *app, const char *key, char ret[KEY_MAX])
{
	return !pm2_options_is_known(key) && pm2_key_spell(key, ret) &&
	       (pm2_options_is_known(ret) || pm2_own_find(ret)) &&
	       !json_object_object_get(app, ret);
}

void pm2_key_unify(struct json_object *app)
{
	_cleanup_strv_ char **others = NULL;
	char spelling[KEY_MAX];

	if (!json_object_is_type(app, json_type_object))
		return;
	json_object_object_foreach(app, key, value)
	{
		if (value && pm2_key_is_other_spelling(app, key, spelling) &&
		    strv_append(&others, key) < 0)
			return; /* a key that stays is reported as unknown */
	}
	for (char **other = others; other && *other; other++) {
		if (!pm2_key_is_other_spelling(app, *other, spelling))
			continue; /* the app has two spellings */
		json_object_object_add(app, spelling,
		                       json_object_get(json_object_object_get(app, *other)));
		json_object_object_del(app, *other);
	}
}
