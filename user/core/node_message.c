/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/node_message.h"

#include <json-c/json.h>
#include <string.h>

#include "base/json_limit.h"

/* Of "cmd" in Node's own messages. */
#define PREFIX "NODE_"

static const char *node_message_string(struct json_object *value)
{
	const char *text =
	        json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;

	return text && strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

/* The text belongs to @value. */
static const char *node_message_find(struct json_object *value)
{
	struct json_object *member;
	const char *text;

	if (!json_object_is_type(value, json_type_object))
		return node_message_string(value);
	if (json_object_object_get_ex(value, "cmd", &member)) {
		text = node_message_string(member);
		if (text && !strncmp(text, PREFIX, strlen(PREFIX)))
			return NULL;
	}
	json_object_object_get_ex(value, "type", &member);
	text = node_message_string(member);
	if (text && !strcmp(text, "process:msg")) {
		json_object_object_get_ex(value, "data", &member);
		text = node_message_string(member);
	}
	return text;
}

/* NULL if the line is not exactly one JSON value. */
static struct json_object *node_message_parse(const char *line, size_t n)
{
	struct json_tokener *tokener = json_limit_allows(line, n) ? json_tokener_new() : NULL;
	struct json_object *value = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	value = json_tokener_parse_ex(tokener, line, (int)n);
	json_tokener_free(tokener);
	return value;
}

char *node_message_text(const char *line, size_t n)
{
	struct json_object *value = node_message_parse(line, n);
	const char *text = node_message_find(value);
	char *copy = text ? strdup(text) : NULL;

	json_object_put(value);
	return copy;
}
