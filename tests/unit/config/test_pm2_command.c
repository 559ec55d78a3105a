/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"

/* Makes programs of the folder the only ones in PATH. */
static void make_program(const char *name, const char *text)
{
	files_write(name, text);
	assert_int_equal(chmod(name, 0755), 0);
	setenv("PATH", files_folder, 1);
}

static void make_node(const char *version)
{
	char text[128];

	snprintf(text, sizeof(text), "#!/bin/sh\necho %s\n", version);
	make_program("node", text);
}

/* Loads an app that is `app.ts`, or another one. */
static void load_script(const char *script, struct load_result *loaded)
{
	char text[128];

	snprintf(text, sizeof(text), "[{\"name\": \"web\", \"script\": \"%s\"}]", script);
	pm2_bed_load(text, NULL, NULL, loaded);
}

static void expect_words(const char *script, const char *const *words)
{
	_cleanup_load_result_ struct load_result loaded;

	load_script(script, &loaded);
	if (loaded.problems.n)
		fail_msg("%s: %s", script, loaded.problems.list[0].text);
	pm2_bed_expect_argv(&loaded.configs[0], words);
}

static void expect_error(const char *script, const char *said)
{
	_cleanup_load_result_ struct load_result loaded;

	load_script(script, &loaded);
	if (loaded.problems.n != 1 || !loaded.problems.n_errors ||
	    !strstr(loaded.problems.list[0].text, said))
		fail_msg("%s: %s", script, loaded.problems.n ? loaded.problems.list[0].text : "");
}

/* As PM2: bun, or node where it strips types. */
static void typescript(void **state)
{
	files_write("app.ts", "");
	files_write("app.tsx", "");
	make_node("v22.18.0");
	expect_words("app.ts",
	             (const char *[]){"node", PM2_BED_REJECTIONS, pm2_bed_here("app.ts"), NULL});
	make_node("v23.5.1");
	expect_words("app.ts", (const char *[]){"node", "--experimental-strip-types",
	                                        PM2_BED_REJECTIONS, pm2_bed_here("app.ts"), NULL});
	make_node("v20.20.2");
	expect_error("app.ts",
	             "script: node 20.20 can't run TypeScript: install bun or Node.js 22.18");
	expect_error("app.tsx", "script: a .tsx file needs bun, which is not installed");
	assert_int_equal(unlink("node"), 0);
	expect_error("app.ts",
	             "script: TypeScript needs bun, which is not installed: install it or");
	make_program("bun", "#!/bin/sh\n");
	expect_words("app.ts", (const char *[]){"bun", pm2_bed_here("app.ts"), NULL});
	setenv("PATH", "/usr/bin:/bin", 1);
}

/* As PM2: python, or python3 where there is no python. */
static void python(void **state)
{
	files_write("app.py", "");
	make_program("python3", "#!/bin/sh\n");
	expect_words("app.py", (const char *[]){"python3", pm2_bed_here("app.py"), NULL});
	make_program("python", "#!/bin/sh\n");
	expect_words("app.py", (const char *[]){"python", pm2_bed_here("app.py"), NULL});
	setenv("PATH", "/usr/bin:/bin", 1);
}

/* PM2's code in the program catches rejected promises, unless pmx is off in fork mode. */
static void rejections(void **state)
{
	static const struct {
		const char *members;
		bool caught;
	} cases[] = {
	        {"", true},
	        {", \"pmx\": false", false},
	        {", \"automation\": false", false},
	        {", \"pmx\": false, \"exec_mode\": \"cluster\"", true},
	        {", \"interpreter\": \"/usr/bin/node\"", true},
	        {", \"interpreter\": \"/bin/sh\"", false},
	        {", \"interpreter\": \"./ts-node\"", false},
	};

	files_write("ts-node", "#!/bin/sh\n");
	assert_int_equal(chmod("ts-node", 0755), 0);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		const struct run_config *c = pm2_bed_expect(cases[i].members, &loaded);

		if (!strcmp(c->argv[1], PM2_BED_REJECTIONS) != cases[i].caught)
			fail_msg("%s", cases[i].members);
	}
}

static void command_lines(void **state)
{
	make_program("bash", "#!/bin/sh\n");
	expect_words("a && b", (const char *[]){pm2_bed_here("bash"), "-c", "a && b", NULL});
	assert_int_equal(unlink("bash"), 0);
	expect_words("a && b", (const char *[]){"/bin/sh", "-c", "a && b", NULL});
	setenv("PATH", "/usr/bin:/bin", 1);
}

static void static_files(void **state)
{
	expect_error("serve",
	             "script: PM2 runs its own server of static files for 'serve': let nginx");
}

/* The command, by script and interpreter. In the folder are app.js, app.py, sub/in.js, text,
 * binary, and self, tool and strict (executable, with #!). */
static void commands(void **state)
{
	static const struct {
		const char *members;
		const char *words[8]; /* "@NAME": in the tests' folder */
	} cases[] = {
	        {"\"script\": \"./app.js\"", {"node", PM2_BED_REJECTIONS, "@app.js"}},
	        {"\"script\": \"./tool\", \"node_args\": \"--x\"",
	         {"node", PM2_BED_REJECTIONS, "--x", "@tool"}},
	        {"\"script\": \"./strict\"", {"@strict"}},
	        {"\"script\": \"app.js\", \"args\": \"-a 'b c'\"",
	         {"node", PM2_BED_REJECTIONS, "@app.js", "-a", "b c"}},
	        {"\"script\": \"app.js\", \"args\": [\"b c\", 4]",
	         {"node", PM2_BED_REJECTIONS, "@app.js", "b c", "4"}},
	        {"\"script\": \"app.js\", \"node_args\": \"--x --y=1\"",
	         {"node", PM2_BED_REJECTIONS, "--x", "--y=1", "@app.js"}},
	        {"\"script\": \"app.js\", \"interpreter_args\": [\"--x\"]",
	         {"node", PM2_BED_REJECTIONS, "--x", "@app.js"}},
	        {"\"script\": \"app.py\", \"interpreter\": \"/bin/sh\"", {"/bin/sh", "@app.py"}},
	        {"\"script\": \"app.js\", \"interpreter\": \"none\"", {"@app.js"}},
	        {"\"script\": \"in.js\", \"cwd\": \"sub\"",
	         {"node", PM2_BED_REJECTIONS, "@sub/in.js"}},
	        {"\"script\": \"sub/in.js\"", {"node", PM2_BED_REJECTIONS, "@sub/in.js"}},
	        {"\"script\": \"self\", \"args\": \"x\"", {"@self", "x"}},
	        {"\"script\": \"text\"", {"node", PM2_BED_REJECTIONS, "@text"}},
	        {"\"script\": \"binary\"", {"@binary"}},
	        {"\"script\": \"env\", \"args\": [\"true\"]", {"/usr/bin/env", "true"}},
	        {"\"script\": \"echo a && b\"", {"/usr/bin/bash", "-c", "echo a && b"}},
	};
	FILE *binary = fopen("binary", "w");

	files_write("app.py", "");
	files_write("text", "x");
	files_write("self", "#!/bin/sh\n");
	files_write("tool", "#!/usr/bin/env node\r\nx");
	files_write("strict", "#!/usr/bin/env -S node --use_strict\n");
	assert_int_equal(chmod("tool", 0755), 0);
	assert_int_equal(chmod("strict", 0755), 0);
	assert_int_equal(chmod("self", 0755), 0);
	assert_int_equal(fwrite("\177ELF\0", 1, 5, binary), 5);
	fclose(binary);
	assert_int_equal(chmod("binary", 0755), 0);
	assert_int_equal(mkdir("sub", 0755), 0);
	files_write("sub/in.js", "");
	setenv("PATH", "/usr/bin:/bin", 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		char text[512];

		snprintf(text, sizeof(text), "[{\"name\": \"x\", %s}]", cases[i].members);
		pm2_bed_load(text, NULL, NULL, &loaded);
		if (loaded.problems.n)
			fail_msg("%s: %s", text, loaded.problems.list[0].text);
		for (size_t w = 0; cases[i].words[w] || loaded.configs[0].argv[w]; w++) {
			const char *word = cases[i].words[w], *got = loaded.configs[0].argv[w];

			word = word && *word == '@' ? pm2_bed_here(word + 1) : word;
			if (!word || !got || strcmp(word, got) != 0)
				fail_msg("%s: %s, not %s", text, got ? got : "nothing",
				         word ? word : "nothing");
		}
	}
}

/* The folder of the file is searched for a script. */
static void beside_the_file(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	struct error err;

	assert_int_equal(mkdir("beside", 0755), 0);
	files_write("beside/own.js", "");
	files_write("beside/eco.json", "[{\"script\": \"./own.js\"}]");
	assert_int_equal(
	        pm2_bed_load_file((struct load_file){.path = "beside/eco.json"}, &loaded, &err), 0);
	assert_int_equal(loaded.problems.n, 0);
	assert_string_equal(loaded.configs[0].service, "own");
	assert_string_equal(loaded.configs[0].cwd, pm2_bed_here("beside"));
	assert_string_equal(loaded.configs[0].argv[2], pm2_bed_here("beside/own.js"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(commands),     cmocka_unit_test(beside_the_file),
	        cmocka_unit_test(typescript),   cmocka_unit_test(python),
	        cmocka_unit_test(rejections),   cmocka_unit_test(command_lines),
	        cmocka_unit_test(static_files),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
