/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_bed.h"

#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "bed/files.h"
#include "bed/unit.h"

int pm2_bed_load_file(struct load_file file, struct load_result *loaded, struct error *err)
{
	*loaded = (struct load_result){.problems.file = file.path};
	file.n_cpus = PM2_BED_CPUS;
	return pm2_load(&file, loaded, err);
}

void pm2_bed_load(const char *text, const char *only, const char *env, struct load_result *loaded)
{
	const struct load_file file = {.path = "eco.json", .only = only, .env = env};
	struct error err;

	files_write(file.path, text);
	if (pm2_bed_load_file(file, loaded, &err) != 0)
		fail_msg("%s", err.text);
}

static void pm2_bed_load_members(const char *members, struct load_result *loaded)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"apps\": [{\"name\": \"web\", \"script\": \"app.js\" %s}]}",
	         members);
	pm2_bed_load(text, NULL, NULL, loaded);
}

const struct run_config *pm2_bed_expect(const char *members, struct load_result *loaded)
{
	pm2_bed_load_members(members, loaded);
	if (loaded->problems.n)
		fail_msg("%s: %s", members, loaded->problems.list[0].text);
	assert_int_equal(loaded->n, 1);
	return &loaded->configs[0];
}

const struct run_config *pm2_bed_expect_problem(const char *members, const char *said, bool error,
                                                struct load_result *loaded)
{
	pm2_bed_load_members(members, loaded);
	if (loaded->problems.n != 1 || loaded->problems.n_errors != error ||
	    !strstr(loaded->problems.list[0].text, said))
		fail_msg("%s: %zu problems, %s", members, loaded->problems.n,
		         loaded->problems.n ? loaded->problems.list[0].text : "");
	return loaded->n ? &loaded->configs[0] : NULL;
}

void pm2_bed_expect_argv(const struct run_config *c, const char *const *words)
{
	size_t n = 0;

	for (; words[n]; n++)
		if (n >= strv_length(c->argv) || strcmp(c->argv[n], words[n]) != 0)
			fail_msg("word %zu is not %s", n, words[n]);
	assert_int_equal(strv_length(c->argv), n);
}

const char *pm2_bed_here(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", files_folder, name);
	return path;
}

int pm2_bed_setup(void **state)
{
	if (files_setup(state) != 0)
		return -1;
	files_write("app.js", "");
	return chmod("app.js", 0755); /* some are run without an interpreter */
}
