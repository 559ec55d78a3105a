/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/escape_view.h"

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/memory.h"

static void escape_view_text(struct json_object *value)
{
	const char *text = json_object_get_string(value);
	_cleanup_free_ char *escaped = NULL;

	if (escape_text(NULL, 0, text, ESCAPE_LINE) == (size_t)json_object_get_string_len(value))
		return;
	escaped = memory_need(escape_new(text, ESCAPE_LINE));
	if (!json_object_set_string(value, escaped))
		memory_need(NULL);
}

void escape_view(struct json_object *view)
{
	switch (json_object_get_type(view)) {
	case json_type_string:
		escape_view_text(view);
		break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(view); i++)
			escape_view(json_object_array_get_idx(view, i));
		break;
	case json_type_object: {
		json_object_object_foreach(view, key, value)
		{
			(void)key;
			escape_view(value);
		}
		break;
	}
	default:
		break;
	}
}
