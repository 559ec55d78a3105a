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
	};

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(typescript),   cmocka_unit_test(python),
	        cmocka_unit_test(rejections),   cmocka_unit_test(command_lines),
	        cmocka_unit_test(static_files),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
