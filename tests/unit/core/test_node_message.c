/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/node_message.h"

static void lines(void **state)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
	        {"\"ready\"", "ready"},
	        {" \"ready\" ", "ready"},
	        {"{\"type\":\"ready\"}", "ready"},
	        {"{\"type\":\"process:msg\",\"data\":\"ready\"}", "ready"},
	        {"{\"cmd\":\"x\",\"type\":\"ready\"}", "ready"},
	        {"{\"cmd\":\"NODE_HANDLE\",\"type\":\"ready\"}", NULL},
	        {"{\"type\":\"process:msg\",\"data\":{}}", NULL},
	        {"{\"type\":7}", NULL},
	        {"{}", NULL},
	        {"7", NULL},
	        {"null", NULL},
	        {"", NULL},
	        {"\"a\\u0000b\"", NULL},
	        {"\"ready\" \"ready\"", NULL},
	        {"\"ready", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = node_message_text(cases[i].line, strlen(cases[i].line));

		if (cases[i].text)
			assert_string_equal(text, cases[i].text);
		else
			assert_null(text);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines)};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
