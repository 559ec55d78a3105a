/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_build.h"

/* The two flags matter for the status of a service with 1,024 workers. */
void json_build_value(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add_ex(to, key, value,
	                          JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

void json_build_text(struct json_object *to, const char *key, const char *text)
{
	json_build_value(to, key, text ? json_object_new_string(text) : NULL);
}

void json_build_number(struct json_object *to, const char *key, int64_t number)
{
	json_build_value(to, key, json_object_new_int64(number));
}

void json_build_known(struct json_object *to, const char *key, bool known, int64_t number)
{
	json_build_value(to, key, known ? json_object_new_int64(number) : NULL);
}

void json_build_real(struct json_object *to, const char *key, double number)
{
	json_build_value(to, key, json_object_new_double(number));
}

void json_build_flag(struct json_object *to, const char *key, bool flag)
{
	json_build_value(to, key, json_object_new_boolean(flag));
}

void json_build_words(struct json_object *to, const char *key, char *const *words)
{
	struct json_object *array = json_build_array(to, key);

	for (; *words; words++)
		json_object_array_add(array, json_object_new_string(*words));
}

void json_build_numbers(struct json_object *to, const char *key, const uint16_t *numbers, size_t n)
{
	struct json_object *array = json_build_array(to, key);

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, json_object_new_int(numbers[i]));
}

struct json_object *json_build_object(struct json_object *to, const char *key)
{
	struct json_object *object = json_object_new_object();

	json_build_value(to, key, object);
	return object;
}

struct json_object *json_build_array(struct json_object *to, const char *key)
{
	struct json_object *array = json_object_new_array();

	json_build_value(to, key, array);
	return array;
}

struct json_object *json_build_row(struct json_object *array)
{
	struct json_object *row = json_object_new_object();

	json_object_array_add(array, row);
	return row;
}
