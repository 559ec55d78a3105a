/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path_search.h"
#include "bed/unit.h"

static void candidates(void **state)
{
	static const struct {
		const char *name, *path, *list[4];
	} cases[] = {
	        {"ls", "/bin:/usr/bin", {"/bin/ls", "/usr/bin/ls"}},
	        {"./ls", "/bin:/usr/bin", {"./ls"}},
	        {"ls", NULL, {"/usr/local/bin/ls", "/usr/bin/ls", "/bin/ls"}},
	        {"ls", "", {"./ls"}},
	        {"ls", ":", {"./ls", "./ls"}},
	        {"ls", "a::b", {"a/ls", "./ls", "b/ls"}},
	        {"", "a", {"a/"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char **list = path_search_candidates(cases[i].name, cases[i].path);

		for (size_t n = 0; cases[i].list[n]; n++)
			assert_string_equal(list[n], cases[i].list[n]);
	}
}

/* PATH may come from a file of a user: its length does not count twice. */
static void long_paths(void **state)
{
	enum { LENGTH = 1 << 20 };
	_cleanup_free_ char *path = malloc(LENGTH + 1);
	_cleanup_free_ char **list = NULL;
	size_t n = 0;

	memset(path, ':', LENGTH);
	path[LENGTH] = '\0';
	list = path_search_candidates("ls", path);
	assert_non_null(list);
	while (list[n])
		assert_string_equal(list[n++], "./ls");
	assert_int_equal(n, PATH_SEARCH_MAX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(candidates),
	        cmocka_unit_test(long_paths),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
