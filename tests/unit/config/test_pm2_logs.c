/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_logs.h"

#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"

/* PM2 inserts a number for apps with `instances`, and only before ".log". */
static void numbers(void **state)
{
	static const struct {
		const char *members;
		bool merged;
	} cases[] = {
	        {", \"out_file\": \"./logs/out.log\"", true},
	        {", \"out_file\": \"out.log\", \"instances\": 2", false},
	        {", \"out_file\": \"out.txt\", \"instances\": 2", true},
	        {", \"out_file\": \"out.log\", \"merge_logs\": false", false},
	        {", \"out_file\": \"out.log\", \"instances\": 2, \"combine_logs\": true", true},
	        {", \"log_file\": \"all.log\", \"instances\": 2", false},
	        {", \"merge_logs\": true", false}, /* there is no file */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;

		if (pm2_bed_expect(cases[i].members, &loaded)->merge_logs != cases[i].merged)
			fail_msg("%s", cases[i].members);
	}
}

static void combined(void **state)
{
	_cleanup_load_result_ struct load_result only, all, off;
	const struct run_config *c = pm2_bed_expect(", \"log\": \"all.log\"", &only);

	assert_string_equal(c->out_file, pm2_bed_here("all.log"));
	assert_string_equal(c->error_file, pm2_bed_here("all.log"));
	assert_null(c->log_file);
	c = pm2_bed_expect(", \"log_file\": \"all.log\", \"error\": \"err.log\"", &all);
	assert_null(c->out_file);
	assert_string_equal(c->error_file, pm2_bed_here("err.log"));
	assert_string_equal(c->log_file, pm2_bed_here("all.log"));
	c = pm2_bed_expect(", \"log_file\": \"all.log\", \"disable_logs\": true", &off);
	assert_string_equal(c->out_file, "/dev/null");
	assert_null(c->log_file);
}

static void differences(void **state)
{
	_cleanup_load_result_ struct load_result one, cluster, mixed, yes;

	pm2_bed_expect_problem(", \"out_file\": \"out.log\", \"instances\": 1",
	                       "merge_logs: the file of the only worker has no number", false,
	                       &one);
	assert_true(one.configs[0].merge_logs);
	pm2_bed_expect_problem(", \"out_file\": \"out.log\", \"exec_mode\": \"cluster\"",
	                       "merge_logs: the file of the only worker has no number", false,
	                       &cluster);
	pm2_bed_expect_problem(
	        ", \"out_file\": \"out.log\", \"err_file\": \"e.txt\", \"instances\": 2",
	        "merge_logs: each worker has its own file for", false, &mixed);
	pm2_bed_expect_problem(", \"log_file\": true", "log_file: ignored: write the name", false,
	                       &yes);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers),
	        cmocka_unit_test(combined),
	        cmocka_unit_test(differences),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
