/* SPDX-License-Identifier: BSD-2-Clause */
/* The first line of an HTTP answer, which decides about a probe. Pure: the bytes are an argument.
 */
#pragma once

#include <stddef.h>

/* Of an answer that has no line end so far, this many bytes are enough. */
#define HTTP_ANSWER_MAX 512

enum http_answer_result {
	HTTP_ANSWER_UNFINISHED = 1, /* the rest of the line has not come yet */
	HTTP_ANSWER_BAD,            /* this is not HTTP/1.x */
};

struct http_answer {
	int status;                 /* 0 to 999 */
	char text[HTTP_ANSWER_MAX]; /* "503 Service Unavailable"; '?' for what is not ASCII */
};

/* Reads the @n bytes of an answer that have come so far. Returns 0 or an enum http_answer_result.
 */
int http_answer_parse(const char *bytes, size_t n, struct http_answer *ret);
