/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to a probe: however they are cut into parts, the result is the same. */
#include <string.h>

#include "core/http_answer.h"
#include "fuzz.h"

static void run(const char *text, size_t size)
{
	struct http_answer whole = {}, part;
	const int r = http_answer_parse(text, size, &whole);
	int first = HTTP_ANSWER_UNFINISHED;
	size_t n = 0;

	while (first == HTTP_ANSWER_UNFINISHED && n < size)
		first = http_answer_parse(text, ++n, &part);
	FUZZ_CHECK(first == r);
	FUZZ_CHECK(n <= HTTP_ANSWER_MAX);
	if (r != 0)
		return;
	FUZZ_CHECK(whole.status == part.status && !strcmp(whole.text, part.text));
	FUZZ_CHECK(whole.status >= 0 && whole.status <= 999);
	FUZZ_CHECK(!fuzz_has_control(whole.text));
	FUZZ_CHECK(strlen(whole.text) < HTTP_ANSWER_MAX);
}

const struct fuzz_target fuzz_target = {run, 0};
