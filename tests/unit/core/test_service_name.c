/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/service_name.h"

static void made_of_program_and_port(void **state)
{
	static const struct {
		const char *program;
		uint16_t port;
		const char *name;
	} cases[] = {
	        {"node", 0, "node"},
	        {"node", 8080, "node-8080"},
	        {"python3.11", 80, "python3-11-80"},
	        {"7z", 0, "p7z"},
	        {"", 80, "p-80"},
	        {"a-very-long-program-name-it-is-more", 0, "a-very-long-program-name-it-is-"},
	        {"a-very-long-program-name-it-is", 65535, "a-very-long-program-name--65535"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[RPD_LABEL_MAX];
		struct error err;

		service_name_derive(cases[i].program, cases[i].port, name);
		assert_string_equal(name, cases[i].name);
		assert_int_equal(service_name_check(name, &err), 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(made_of_program_and_port),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
