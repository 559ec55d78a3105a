/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_vars.h"

#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"
#include "core/env.h"

static void expect_env(const struct run_config *c, const char *name, const char *value)
{
	const char *is = env_find(c->env, name);

	if (!is || strcmp(is, value) != 0)
		fail_msg("%s is %s, not %s", name, is ? is : "not set", value);
}

static void of_a_process(void **state)
{
	_cleanup_load_result_ struct load_result a, b, line;
	const struct run_config *c = pm2_bed_expect(", \"instances\": 3", &a);

	expect_env(c, "name", "web");
	expect_env(c, "namespace", "default");
	expect_env(c, "pm_id", "0");
	expect_env(c, "exec_mode", "cluster_mode");
	expect_env(c, "instances", "3");
	expect_env(c, "pm_exec_path", pm2_bed_here("app.js"));
	expect_env(c, "pm_cwd", files_folder);
	assert_string_equal(c->increment_vars[0], "pm_id");
	/* The app's own variables take precedence. */
	c = pm2_bed_expect(", \"env\": {\"name\": \"x\", \"pm_id\": \"y\"}", &b);
	expect_env(c, "name", "x");
	expect_env(c, "pm_id", "y");
	expect_env(c, "exec_mode", "fork_mode");
	assert_null(c->increment_vars);
	pm2_bed_load("[{\"script\": \"cd sub && node ../app.js\"}]", NULL, NULL, &line);
	expect_env(&line.configs[0], "pm_exec_path", line.configs[0].argv[0]);
}

/* PM2 numbers the processes of all apps. */
static void numbers(void **state)
{
	_cleanup_load_result_ struct load_result loaded, last;
	static const char text[] =
	        "[{name: 'a', script: 'app.js', instances: 4},"
	        " {name: 'b', script: 'app.js'}, {name: 'c', script: 'app.js'}]";

	pm2_bed_load(text, NULL, NULL, &loaded);
	expect_env(&loaded.configs[1], "pm_id", "4");
	expect_env(&loaded.configs[2], "pm_id", "5");
	pm2_bed_load(text, "c", NULL, &last);
	expect_env(&last.configs[0], "pm_id", "5");
}

static void counted(void **state)
{
	_cleanup_load_result_ struct load_result a, b, c, d;
	const struct run_config *config =
	        pm2_bed_expect(", \"increment_var\": \"PORT\", \"instance_var\": \"INSTANCE\"", &a);

	assert_string_equal(config->instance_var, "INSTANCE");
	assert_string_equal(config->increment_vars[0], "PORT");
	/* The worker finds the first value in its environment. */
	assert_null(env_find(config->env, "PORT"));
	pm2_bed_expect(", \"increment_var\": \"PORT\", \"env\": {\"PORT\": 3000}", &b);
	expect_env(&b.configs[0], "PORT", "3000");
	pm2_bed_expect_problem(", \"increment_var\": [1]",
	                       "increment_var: the value is not the name of a variable", true, &c);
	pm2_bed_expect_problem(", \"increment_var\": \"A\", \"env\": {\"A\": \"x\"}",
	                       "env must set this variable to a number", true, &d);
}

/* What the file does to process.env is for every app, and env takes precedence. */
static void of_the_file(void **state)
{
	static const char text[] =
	        "process.env.SECRET = 's'; process.env.RPD_BEFORE = 'after';\n"
	        "process.env.PORT = '3000'; delete process.env.RPD_GONE;\n"
	        "module.exports = {apps: [{name: 'a', script: 'app.js'},\n"
	        "  {name: 'b', script: 'app.js', env: {PORT: 80, f() {}}, increment_var: 'PORT'}]}";
	_cleanup_load_result_ struct load_result loaded;
	struct error err;

	setenv("RPD_BEFORE", "before", 1);
	setenv("RPD_GONE", "1", 1);
	setenv("RPD_SAME", "1", 1);
	files_write("a.js", text);
	if (pm2_bed_load_file((struct load_file){.path = "a.js"}, &loaded, &err) != 0)
		fail_msg("%s", err.text);
	expect_env(&loaded.configs[0], "SECRET", "s");
	expect_env(&loaded.configs[0], "RPD_BEFORE", "after");
	expect_env(&loaded.configs[0], "PORT", "3000");
	assert_null(env_find(loaded.configs[0].env, "RPD_SAME"));
	expect_env(&loaded.configs[1], "SECRET", "s");
	expect_env(&loaded.configs[1], "PORT", "80");
	assert_null(env_find(loaded.configs[1].env, "f"));
	assert_int_equal(loaded.problems.n, 2);
	assert_int_equal(loaded.problems.n_errors, 0);
	assert_non_null(strstr(loaded.problems.list[0].text, "RPD_GONE: the file deletes this"));
	assert_non_null(strstr(loaded.problems.list[1].text, "f: ignored: it is a function"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(of_a_process),
	        cmocka_unit_test(numbers),
	        cmocka_unit_test(counted),
	        cmocka_unit_test(of_the_file),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
