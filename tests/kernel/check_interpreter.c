/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/interpreter with files of all kinds. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "check/check.h"
#include "check/folder.h"
#include "kern/interpreter.h"

static const char *const programs[] = {"node", "npx", NULL};

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder_path(), name);
	file = fopen(path, "we");
	if (file) {
		fputs(text, file);
		fclose(file);
	}
}

static void programs_that_scripts_run(void)
{
	static const struct {
		const char *argv[6];
		bool runs;
	} table[] = {
	        {{"node", "x.js"}, true},
	        {{"/opt/v20/bin/node"}, true},
	        {{"npx", "x"}, true},
	        {{"nodemon"}, false},
	        {{"python3", "node"}, false},
	        {{"./by-env"}, true},
	        {{"./by-path"}, true},
	        {{"by-env"}, true}, /* along PATH */
	        {{"by-python"}, false},
	        {{"starter"}, true},
	        {{"sh", "starter"}, true},
	        {{"/bin/bash", "-e", "starter", "x"}, true},
	        {{"sh", "by-python-starter"}, false},
	        {{"sh", "-c", "cd /srv/node && exec python3 x"}, false},
	        {{"sh", "-c", "cd /srv; A=1 exec node x"}, true},
	        {{"bash", "-ec", "(/usr/local/bin/node x)"}, true},
	        {{"bash", "--login", "-c", "python3 x", "node"}, false},
	        {{"sh", "-c"}, false},
	        {{"sh"}, false},
	        {{"sh", "missing"}, false},
	        {{"missing"}, false},
	        {{"./folder"}, false},
	        {{"./fifo"}, false},
	        {{"./binary"}, false},
	};
	const char *folder = folder_path();
	char path[64], fifo[64];

	write_file("by-env", "#!/usr/bin/env node\nx\n");
	write_file("by-path", "#! /opt/bin/node --flag");
	write_file("by-python", "#!/usr/bin/python3\nrun('node')\n");
	write_file("starter", "#!/bin/sh\nset -e\nexec \"$(which node)\" x.js\n");
	write_file("by-python-starter", "#!/bin/sh\nexec python3 node.py\n");
	write_file("binary", "\177ELF node");
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	CHECK(mkfifo(fifo, 0600) == 0);
	snprintf(path, sizeof(path), "/nowhere:%s", folder);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const char *second = table[i].argv[1];

		CHECK_MSG(interpreter_is_among((char *const *)table[i].argv, path, folder,
		                               programs) == table[i].runs,
		          "%zu: %s %s", i, table[i].argv[0], second ? second : "");
	}
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(programs_that_scripts_run),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
