/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_read.h"

#include "base/memory.h"

struct json_object *json_read_value(struct json_object *of, const char *key)
{
	return json_object_object_get(of, key);
}

/* json-c makes the text of a number when it is asked for. */
const char *json_read_as_text(struct json_object *value)
{
	return memory_need((char *)json_object_get_string(value));
}

const char *json_read_text(struct json_object *of, const char *key)
{
	struct json_object *value = json_read_value(of, key);

	return value ? json_read_as_text(value) : NULL;
}

int64_t json_read_number(struct json_object *of, const char *key)
{
	return json_object_get_int64(json_read_value(of, key));
}

double json_read_real(struct json_object *of, const char *key)
{
	return json_object_get_double(json_read_value(of, key));
}

bool json_read_flag(struct json_object *of, const char *key)
{
	return json_object_get_boolean(json_read_value(of, key));
}

size_t json_read_length(struct json_object *of, const char *key)
{
	struct json_object *array = json_read_value(of, key);

	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}
