/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/signal_name.h"
#include "bed/unit.h"

#define UNTOUCHED (-77)

static void format(void **state)
{
	char name[SIGNAL_NAME_MAX];

	assert_string_equal(signal_name_format(SIGTERM, name), "SIGTERM");
	assert_string_equal(signal_name_format(SIGKILL, name), "SIGKILL");
	/* Real-time signals have no names. */
	assert_string_equal(signal_name_format(40, name), "40");
	assert_string_equal(signal_name_format(64, name), "64");
}

static void parse(void **state)
{
	static const struct {
		const char *text;
		int number; /* 0 = none */
	} cases[] = {
	        {"SIGTERM", SIGTERM},
	        {"TERM", SIGTERM},
	        {"INT", SIGINT},
	        {"SIGUSR2", SIGUSR2},
	        {"15", 15},
	        {"1", 1},
	        {"64", 64},
	        {"0"},
	        {"65"},
	        {"-1"},
	        {""},
	        {"SIG"},
	        {"SIGSIGTERM"},
	        {"sigterm"},
	        {"TERMINATE"},
	        {"SIG15"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int number = UNTOUCHED;
		const int r = signal_name_parse(cases[i].text, &number);

		if (r != (cases[i].number ? 0 : -EINVAL) ||
		    number != (cases[i].number ? cases[i].number : UNTOUCHED))
			fail_msg("'%s': %d, %d", cases[i].text, r, number);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(format),
	        cmocka_unit_test(parse),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
