/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_build.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"

struct json_object *json_build_new_object(void)
{
	return memory_need(json_object_new_object());
}

struct json_object *json_build_new_array(void)
{
	return memory_need(json_object_new_array());
}

/* The two flags matter for the status of a service with 1,024 workers. */
void json_build_value(struct json_object *to, const char *key, struct json_object *value)
{
	if (json_object_object_add_ex(to, key, value,
	                              JSON_C_OBJECT_ADD_KEY_IS_NEW |
	                                      JSON_C_OBJECT_ADD_CONSTANT_KEY) < 0)
		memory_need(NULL);
}

void json_build_add(struct json_object *array, struct json_object *value)
{
	if (json_object_array_add(array, value) < 0)
		memory_need(NULL);
}

void json_build_text(struct json_object *to, const char *key, const char *text)
{
	json_build_value(to, key, text ? memory_need(json_object_new_string(text)) : NULL);
}

void json_build_number(struct json_object *to, const char *key, int64_t number)
{
	json_build_value(to, key, memory_need(json_object_new_int64(number)));
}

void json_build_known(struct json_object *to, const char *key, bool known, int64_t number)
{
	json_build_value(to, key, known ? memory_need(json_object_new_int64(number)) : NULL);
}

void json_build_real(struct json_object *to, const char *key, double number)
{
	json_build_value(to, key, memory_need(json_object_new_double(number)));
}

void json_build_time(struct json_object *to, const char *key, int64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", (double)ns / NS_PER_S);
	json_build_value(to, key,
	                 memory_need(json_object_new_double_s((double)ns / NS_PER_S, text)));
}

void json_build_flag(struct json_object *to, const char *key, bool flag)
{
	json_build_value(to, key, memory_need(json_object_new_boolean(flag)));
}

void json_build_words(struct json_object *to, const char *key, char *const *words)
{
	struct json_object *array = json_build_array(to, key);

	for (; *words; words++)
		json_build_add(array, memory_need(json_object_new_string(*words)));
}

void json_build_numbers(struct json_object *to, const char *key, const uint16_t *numbers, size_t n)
{
	struct json_object *array = json_build_array(to, key);

	for (size_t i = 0; i < n; i++)
		json_build_add(array, memory_need(json_object_new_int(numbers[i])));
}

struct json_object *json_build_object(struct json_object *to, const char *key)
{
	struct json_object *object = json_build_new_object();

	json_build_value(to, key, object);
	return object;
}

struct json_object *json_build_array(struct json_object *to, const char *key)
{
	struct json_object *array = json_build_new_array();

	json_build_value(to, key, array);
	return array;
}

struct json_object *json_build_row(struct json_object *array)
{
	struct json_object *row = json_build_new_object();

	json_build_add(array, row);
	return row;
}
