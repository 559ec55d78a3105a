/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "bed/files.h"
#include "bed/unit.h"
#include "cli/command_line.h"

/* Parses a command line of `run` that argp accepts. */
static void parse(char *const *argv, struct invocation *i)
{
	command_line_parse(command_find("run"), strv_length(argv), (char **)argv, i);
}

static void command_after_options(void **state)
{
	_cleanup_load_result_ struct load_result loaded = {};
	struct invocation i;
	struct error err;
	char *argv[] = {"run",        "--workers",  "3",     "--listen=8080", "--env",
	                "A=1",        "--in-place", "--env", "B=2",           "--",
	                "/bin/no.de", "-x",         "--",    "--workers",     NULL};

	parse(argv, &i);
	assert_null(i.run.file);
	if (args_load(&i.run, &loaded, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(loaded.n, 1);
	assert_string_equal(loaded.configs[0].service, "no-de-8080");
	assert_int_equal(loaded.configs[0].workers, 3);
	assert_true(loaded.configs[0].in_place);
	assert_int_equal(strv_length(loaded.configs[0].env), 2);
	assert_int_equal(strv_length(loaded.configs[0].argv), 4);
	assert_string_equal(loaded.configs[0].argv[0], "/bin/no.de");
	assert_string_equal(loaded.configs[0].argv[3], "--workers");
	args_free(&i.run);
}

static void configuration_file(void **state)
{
	struct load_result loaded = {};
	struct invocation i;
	struct error err;
	char *argv[] = {"run", "web.conf", "--only", "b", NULL};

	files_write("web.conf", "[a]\ncommand=x\nworkers=1\n[b]\ncommand=y\nworkers=1\n");
	parse(argv, &i);
	assert_null(i.run.command);
	for (int round = 0; round < 2; round++) { /* a reload reads the file again */
		assert_int_equal(args_load(&i.run, &loaded, &err), 0);
		assert_int_equal(loaded.n, 1);
		assert_string_equal(loaded.configs[0].service, "b");
		load_free(&loaded);
	}
	args_free(&i.run);
}

/* The name of an ecosystem file decides that --env means its env_NAME. */
static void ecosystem_file(void **state)
{
	static char *const names[] = {"eco.json", "eco.jsonc"};

	files_write("app.js", "");
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		_cleanup_load_result_ struct load_result loaded = {};
		struct invocation i;
		struct error err;
		char *argv[] = {"run", "--env", "prod", names[n], NULL};

		files_write(names[n], "[{\"script\": \"app.js\", \"env_prod\": {\"A\": 1}}]");
		parse(argv, &i);
		if (args_load(&i.run, &loaded, &err) != 0)
			fail_msg("%s", err.text);
		assert_string_equal(loaded.configs[0].env[0], "A=1");
		args_free(&i.run);
	}
}

static void refused(void **state)
{
	static char *const cases[][8] = {
	        {"give either a file or `-- COMMAND", "run"},
	        {"give either a file or `-- COMMAND", "run", "web.conf", "--", "x"},
	        {"a command is missing", "run", "--workers", "1", "--", ""},
	        {"--workers: the number of workers is missing: N, or max", "run", "--", "x"},
	        {"--workers: '0' is neither", "run", "--workers", "0", "--", "x"},
	        {"--pass-sockets: needs listen", "run", "--workers=1", "--pass-sockets", "--", "x"},
	        {"--only needs a file", "run", "--workers=1", "--only=x", "--", "x"},
	        {"--env-file: can't read 'no.env'", "run", "--workers=1", "--env-file=no.env", "--",
	         "x"},
	        {"--user: there is no user 'nosuch'", "run", "--workers=1", "--user=nosuch", "--",
	         "x"},
	        {"--group: there is no group 'nosuch'", "run", "--workers=1", "--group=nosuch",
	         "--", "x"},
	        {"--cwd: '/nope': No such file", "run", "--workers=1", "--cwd=/nope", "--", "x"},
	        {"--env: 'A' is not NAME=VALUE", "run", "--workers=1", "--env=A", "--", "x"},
	        {"2 errors\n--workers: '0'", "run", "--workers=0", "--settle=x", "--", "x"},
	        {"--settle: 'x' is not a time", "run", "--workers=0", "--settle=x", "--", "x"},
	        {"--workers: with a file, set this option in 'web.conf'", "run", "--workers=1",
	         "web.conf"},
	        {"--env A=1: with a file, set variables in 'web.conf'", "run", "--env=A=1",
	         "web.conf"},
	        {"--env x: only an ecosystem.config.js can have env_x", "run", "--env=x",
	         "web.conf"},
	        {"--only c: the file has no such service", "run", "--only=c", "web.conf"},
	        {"--only c: the file has no such service", "run", "--only=a,c", "web.conf"},
	        {"can't read YAML", "run", "a.yml"},
	        {"can't read YAML", "run", "a.yaml"},
	        {"can't read TypeScript: write 'a.config.ts' as .config.js", "run", "a.config.ts"},
	        {"can't read TypeScript", "run", "a.mts"},
	        {"can't read 'no.conf'", "run", "no.conf"},
	        {"can't read 'no.json'", "run", "no.json"},
	        {"can't read 'no.js'", "run", "no.js"},
	};

	files_write("web.conf", "[a]\ncommand=x\nworkers=1\n[b]\ncommand=y\nworkers=1\n");
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_load_result_ struct load_result loaded = {};
		struct error err = {};
		struct invocation i;

		parse(cases[n] + 1, &i);
		assert_true(args_load(&i.run, &loaded, &err) < 0);
		assert_int_equal(err.status, EXIT_USAGE);
		if (!strstr(err.text, cases[n][0]))
			fail_msg("%s, not %s", err.text, cases[n][0]);
		args_free(&i.run);
	}
}

/* More errors than there is room for. */
static void too_many_errors(void **state)
{
	struct args args = {.file = "many.conf"};
	_cleanup_load_result_ struct load_result loaded = {};
	char text[4096] = "[a]\ncommand=x\nworkers=1\n";
	struct error err;

	for (int i = 0; i < 300; i++)
		strcat(text, "nonsense=\n");
	files_write(args.file, text);
	assert_true(args_load(&args, &loaded, &err) < 0);
	assert_int_equal(loaded.problems.n_errors, 300);
	assert_int_equal(strncmp(err.text, "300 errors\nmany.conf:4: ", 24), 0);
	assert_non_null(strstr(err.text, " more; `reuseportd check` lists all of them"));
	assert_true(strlen(err.text) > sizeof(err.text) - 300);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(command_after_options), cmocka_unit_test(configuration_file),
	        cmocka_unit_test(ecosystem_file),        cmocka_unit_test(refused),
	        cmocka_unit_test(too_many_errors),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), files_setup, files_teardown);
}
