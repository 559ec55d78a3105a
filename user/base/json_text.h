/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON objects as text. Whatever their strings contain, the text is valid JSON, and plain for a
 * terminal: the characters that escape.h escapes are written as \uNNNN, and bytes that are not
 * UTF-8 as the replacement character. Nothing is ever left out: json-c's own writer would leave out
 * parts if memory is short.
 */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

enum json_text {
	JSON_TEXT_LINE,   /* all in one line */
	JSON_TEXT_PRETTY, /* one member a line */
};

/* Writes the object, without an end of line after it. */
void json_text_print(FILE *out, struct json_object *object, enum json_text form);

/* The text, in one line, for free(). Never NULL (memory_need()). */
char *json_text_new(struct json_object *object);
