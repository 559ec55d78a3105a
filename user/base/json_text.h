/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON objects as text that is valid JSON, whatever their strings contain, and plain for a
 * terminal. */
#pragma once

#include <json-c/json.h>

/* The object as text; @flags are json-c's. The characters that escape.h escapes are \uNNNN, bytes
 * that are not UTF-8 the replacement character. For free(); never NULL (memory_need()). */
char *json_text_new(struct json_object *object, int flags);
