/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Builds JSON with json-c: one function for each kind of member. A key must be a string literal
 * that the object does not have yet: json-c then neither searches for it nor copies it. If memory
 * is short, the process ends (base/memory.h): no answer is ever incomplete.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Empty ones, for json_object_put(). */
struct json_object *json_build_new_object(void);
struct json_object *json_build_new_array(void);

/* Adds @value, which belongs to @to from then on; NULL is the JSON value null. */
void json_build_value(struct json_object *to, const char *key, struct json_object *value);

/* NULL becomes null. */
void json_build_text(struct json_object *to, const char *key, const char *text);

void json_build_number(struct json_object *to, const char *key, int64_t number);

/* Adds @number, or null if it is not @known. */
void json_build_known(struct json_object *to, const char *key, bool known, int64_t number);

void json_build_real(struct json_object *to, const char *key, double number);

/* Adds a time in seconds, with milliseconds; @ns is in nanoseconds. */
void json_build_time(struct json_object *to, const char *key, int64_t ns);

void json_build_flag(struct json_object *to, const char *key, bool flag);

/* Adds an array of @words, a list that ends with NULL. */
void json_build_words(struct json_object *to, const char *key, char *const *words);

/* Adds an array of @n numbers. */
void json_build_numbers(struct json_object *to, const char *key, const uint16_t *numbers, size_t n);

/* Add an empty object or array and return it; it belongs to @to. */
struct json_object *json_build_object(struct json_object *to, const char *key);
struct json_object *json_build_array(struct json_object *to, const char *key);

/* Appends @value, which belongs to @array from then on. */
void json_build_add(struct json_object *array, struct json_object *value);

/* Appends an empty object to an array and returns it; it belongs to @array. */
struct json_object *json_build_row(struct json_object *array);
