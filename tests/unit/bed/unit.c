/* SPDX-License-Identifier: BSD-2-Clause */
#include "bed/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TESTS_MAX 64

/* @argv: pairs of "-k" and a name. */
static bool unit_is_selected(char **argv, const char *name)
{
	if (!argv[1])
		return true;
	for (char **pair = argv + 1; *pair; pair += 2)
		if (strstr(name, pair[1]))
			return true;
	return false;
}

static bool unit_arguments_are_pairs(char **argv)
{
	for (char **pair = argv + 1; *pair; pair += 2)
		if (strcmp(pair[0], "-k") != 0 || !pair[1])
			return false;
	return true;
}

int unit_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n,
              CMFixtureFunction setup, CMFixtureFunction teardown)
{
	static struct CMUnitTest selected[TESTS_MAX]; /* cmocka skips a test without a name */
	size_t n_selected = 0;

	if (!unit_arguments_are_pairs(argv) || n > TESTS_MAX) {
		fprintf(stderr, "usage: %s [-k NAME]...\n", argv[0]);
		return 2;
	}
	for (size_t i = 0; i < n; i++)
		if (unit_is_selected(argv, tests[i].name))
			selected[n_selected++] = tests[i];
	if (n_selected == 0) {
		fprintf(stderr, "%s: no test has such a name:", argv[0]);
		for (char **word = argv + 1; *word; word++)
			fprintf(stderr, " %s", *word);
		fprintf(stderr, "\n");
		return 2;
	}
	return cmocka_run_group_tests_name(argv[0], selected, setup, teardown);
}
