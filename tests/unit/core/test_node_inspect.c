/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/node_inspect.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "base/words.h"
#include "bed/unit.h"

/* A command and NODE_OPTIONS, and what slot 2 gets of them. */
static void ports(void **state)
{
	static const struct {
		const char *command, *options;
		unsigned int port;
		const char *new_command, *new_options;
	} cases[] = {
	        {"node app.js", "", 0},
	        {"node --inspect app.js", "", 9231, "node --inspect=9231 app.js"},
	        {"tsx --inspect app.ts", "", 9231, "tsx --inspect=9231 app.ts"},
	        {"/usr/bin/node --inspect-brk=9300 app.js", "", 9302,
	         "/usr/bin/node --inspect-brk=9302 app.js"},
	        {"node --inspect=0.0.0.0 app.js", "", 9231, "node --inspect=0.0.0.0:9231 app.js"},
	        {"node --inspect=127.0.0.1:9000 app.js", "", 9002,
	         "node --inspect=127.0.0.1:9002 app.js"},
	        {"node --inspect=[::1]:9000 app.js", "", 9002, "node --inspect=[::1]:9002 app.js"},
	        {"node --inspect=[::1] app.js", "", 9231, "node --inspect=[::1]:9231 app.js"},
	        {"node --inspect-wait=localhost:1 x", "", 3, "node --inspect-wait=localhost:3 x"},
	        {"node --inspect --inspect-port=9400 app.js", "", 9402,
	         "node --inspect --inspect-port=9402 app.js"},
	        {"node app.js", "--max-old-space-size=100  --inspect=9500 -r x", 9502,
	         "node app.js", "--max-old-space-size=100  --inspect=9502 -r x"},
	        {"node --inspect app.js", "--inspect-port=9500", 9502, "node --inspect app.js",
	         "--inspect-port=9502"},
	        {"node --inspect=9600 app.js", "--inspect=9500", 9602, "node --inspect=9602 app.js",
	         "--inspect=9602"},
	        {"node -r ./x --inspect app.js", "", 9231, "node -r ./x --inspect=9231 app.js"},
	        {"bash -c x", "--inspect", 9231, "bash -c x", "--inspect=9231"},
	        /* no inspector, one whose port is free to choose, and none that we know */
	        {"node app.js --inspect", "", 0},
	        {"node -- --inspect", "", 0},
	        {"node --inspect-port=9000 app.js", "", 0},
	        {"node --inspect=0 app.js", "", 0},
	        {"node --inspect=65534 app.js", "", 0},
	        {"node --inspector app.js", "--inspect-publish-uid=http", 0},
	        {"python3 --inspect app.py", "", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ char **argv = NULL, **wanted = NULL;
		_cleanup_free_ char *options = strdup(cases[i].options);
		const char *new_command = cases[i].new_command;
		const char *new_options = cases[i].new_options;

		assert_int_equal(words_split(cases[i].command, &argv), 0);
		assert_int_equal(words_split(new_command ? new_command : cases[i].command, &wanted),
		                 0);
		if (node_inspect_port(argv, options, 2) != cases[i].port)
			fail_msg("%s, %s: %u", cases[i].command, options,
			         node_inspect_port(argv, options, 2));
		assert_int_equal(node_inspect_set_port(argv, &options, 2), 0);
		for (size_t w = 0; wanted[w]; w++)
			assert_string_equal(argv[w], wanted[w]);
		assert_string_equal(options, new_options ? new_options : cases[i].options);
	}
}

static void slots(void **state)
{
	char *argv[] = {"node", "--inspect", "app.js", NULL};

	assert_int_equal(node_inspect_port(argv, NULL, 0), 9229);
	assert_int_equal(node_inspect_port(argv, NULL, 1023), 9229 + 1023);
	assert_int_equal(node_inspect_port((char *[]){NULL}, NULL, 0), 0);
	assert_int_equal(node_inspect_port(NULL, "--inspect", 0), 9229);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ports), cmocka_unit_test(slots)};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
