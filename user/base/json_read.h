/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a member of a JSON object by its key. @of may be NULL; it then has no member. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The member, which belongs to @of. NULL if there is none, or if it is null. */
struct json_object *json_read_value(struct json_object *of, const char *key);

/* NULL without a member. The text belongs to @of. */
const char *json_read_text(struct json_object *of, const char *key);

/* Any value but null as text, which belongs to @value. Never NULL (memory_need()). */
const char *json_read_as_text(struct json_object *value);

/* 0 without a member. */
int64_t json_read_number(struct json_object *of, const char *key);
double json_read_real(struct json_object *of, const char *key);

/* False without a member. */
bool json_read_flag(struct json_object *of, const char *key);

/* The length of an array; 0 without a member, or if it is no array. */
size_t json_read_length(struct json_object *of, const char *key);
