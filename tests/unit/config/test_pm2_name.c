/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_name.h"

#include <string.h>

#include "base/cleanup.h"
#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"

static void expect_names(const char *apps, const char *const *names)
{
	_cleanup_load_result_ struct load_result loaded;
	char text[2048];

	snprintf(text, sizeof(text), "{apps: %s}", apps);
	pm2_bed_load(text, NULL, NULL, &loaded);
	if (loaded.problems.n_errors)
		fail_msg("%s: %s", apps, loaded.problems.list[0].text);
	for (size_t i = 0; names[i] || i < loaded.n; i++)
		if (!names[i] || i >= loaded.n || strcmp(loaded.configs[i].service, names[i]) != 0)
			fail_msg("%s: app %zu is %s", apps, i,
			         i < loaded.n ? loaded.configs[i].service : "missing");
}

/* Apps of one name are told apart by namespace, port or number. */
static void unique_names(void **state)
{
	static const struct {
		const char *apps, *names[6];
	} cases[] = {
	        {"[{name: 'a', script: 'app.js', namespace: 'x'},"
	         " {name: 'a', script: 'app.js', namespace: 'y z'}]",
	         {"a", "a-y-z"}},
	        {"[{name: 'a', script: 'app.js', port: 1}, {name: 'a', script: 'app.js', port: 80},"
	         " {name: 'a', script: 'app.js', env: {PORT: 81}}]",
	         {"a", "a-80", "a-81"}},
	        {"[{script: './app.js'}, {script: 'app.js'}, {script: 'app.js', namespace: "
	         "'default'}]",
	         {"app", "app-2", "app-3"}},
	        {"[{name: 'a', script: 'app.js'}, {name: 'a', script: 'app.js'}, {name: 'a-2',"
	         " script: 'app.js'}]",
	         {"a", "a-3", "a-2"}},
	        /* A valid name stays with its app. */
	        {"[{name: 'a b', script: 'app.js'}, {name: 'a-b', script: 'app.js'}]",
	         {"a-b-2", "a-b"}},
	        {"[{name: '@acme/my-api', script: 'app.js'}, {name: '1', script: 'app.js'}]",
	         {"p-acme-my-api", "p1"}},
	        {"[{name: 'aaaaaaaaaabbbbbbbbbbccccccccccdddd', script: 'app.js'},"
	         " {name: 'aaaaaaaaaabbbbbbbbbbccccccccccddddd', script: 'app.js', port: 80}]",
	         {"aaaaaaaaaabbbbbbbbbbccccccccccd", "aaaaaaaaaabbbbbbbbbbcccccccc-80"}},
	        {"[{name: '@a/b', script: 'app.js', service: 'own'}]", {"own"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_names(cases[i].apps, cases[i].names);
}

/* A name depends on the whole file, not on what is run of it. */
static void selected_apps(void **state)
{
	static const char text[] =
	        "[{name: 'a', script: 'app.js'}, {name: 'a', script: 'app.js'},"
	        " {name: 'b c', script: 'app.js', append_env_to_name: true}]";
	_cleanup_load_result_ struct load_result both, second, other, env, none;

	pm2_bed_load(text, "a", NULL, &both);
	assert_int_equal(both.problems.n_errors, 0);
	assert_int_equal(both.n, 2);
	pm2_bed_load(text, "a-2", NULL, &second);
	assert_int_equal(second.n, 1);
	assert_string_equal(second.configs[0].service, "a-2");
	pm2_bed_load(text, "b c,b-c", NULL, &other);
	assert_int_equal(other.problems.n_errors, 0);
	assert_int_equal(other.n, 1);
	pm2_bed_load(text, "b c-test", "test", &env);
	assert_string_equal(env.configs[0].service, "b-c-test");
	pm2_bed_load(text, "a,x", NULL, &none);
	assert_int_equal(none.problems.n_errors, 1);
	assert_non_null(strstr(none.problems.list[none.problems.n - 1].text,
	                       "--only x: the file has no such service"));
}

static void said(void **state)
{
	_cleanup_load_result_ struct load_result loaded;

	pm2_bed_load(
	        "[{name: 'a', script: 'app.js'}, {name: 'a', script: 'app.js'},"
	        " {name: '@a/b', script: 'app.js'}]",
	        NULL, NULL, &loaded);
	assert_int_equal(loaded.problems.n, 2);
	assert_string_equal(loaded.problems.list[0].text,
	                    "app 'a': name: the service is named 'a-2', as another app has this "
	                    "name; commands find it only by the name of the service; set `service` "
	                    "to name it otherwise");
	assert_string_equal(loaded.problems.list[1].text,
	                    "app '@a/b': name: the service is named 'p-a-b'; commands know both "
	                    "names");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(unique_names),
	        cmocka_unit_test(selected_apps),
	        cmocka_unit_test(said),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
