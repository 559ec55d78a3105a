/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_own.h"

#include <string.h>

#include "base/clock.h"
#include "base/strv.h"
#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"
#include "config/pm2_options.h"
#include "config/run_option.h"
#include "core/env.h"

#define MS 1000000ll

static void all_kinds(void **state)
{
	_cleanup_load_result_ struct load_result loaded;
	const struct run_config *c = pm2_bed_expect(
	        ", \"in_place\": true, \"drain_timeout\": 7000, \"listen\": [8080, \"[::1]:8081\"],"
	        "\"settle\": \"2s\", \"park_timeout\": \"500\", \"batch\": 3,"
	        "\"backoff\": \"1s..2s\", \"policy\": \"sticky\", \"label\": \"v7\","
	        "\"memory_limit\": \"300M\", \"pass_sockets\": true, \"keep_going\": false,"
	        "\"stop_signal\": \"SIGTERM\", \"ready\": false, \"health_timeout\": null,"
	        "\"no_count\": true",
	        &loaded);

	assert_int_equal(c->in_place, RUN_IN_PLACE_YES);
	assert_int_equal(c->drain_timeout, 7 * NS_PER_S);
	assert_int_equal(c->n_listens, 2);
	assert_int_equal(c->listens[1].port, 8081);
	assert_int_equal(c->settle, 2 * NS_PER_S);
	assert_int_equal(c->park_timeout, 500 * MS);
	assert_int_equal(c->batch, 3);
	assert_int_equal(c->backoff_min, NS_PER_S);
	assert_int_equal(c->dealing.policy, RPD_STICKY);
	assert_string_equal(c->label, "v7");
	assert_int_equal(c->memory_limit, 300 << 20);
	assert_true(c->pass_sockets);
	assert_true(c->no_count);
	assert_false(c->keep_going);
	assert_int_equal(c->ready, READY_LISTEN); /* `listen` asks for listeners */
}

static void readiness(void **state)
{
	_cleanup_load_result_ struct load_result a, b, c, d, e;

	assert_int_equal(pm2_bed_expect(", \"ready\": \"tcp\"", &a)->ready, READY_TCP);
	assert_int_equal(
	        pm2_bed_expect(", \"ready\": \"http:/up\", \"wait_ready\": true", &b)->ready,
	        READY_HTTP);
	assert_int_equal(b.configs[0].ready_timeout, 30 * NS_PER_S);
	assert_int_equal(
	        pm2_bed_expect(", \"ready\": \"tcp\", \"ready_timeout\": 4000", &c)->ready_timeout,
	        4 * NS_PER_S);
	assert_int_equal(pm2_bed_expect(", \"listen\": 80", &d)->ready, READY_LISTEN);
	/* It does not change what PM2's listen_timeout means. */
	pm2_bed_expect(", \"ready_timeout\": 9000, \"listen_timeout\": 7000", &e);
	assert_int_equal(e.configs[0].ready, READY_ALIVE);
	assert_int_equal(e.configs[0].alive_after, 7 * NS_PER_S);
	assert_int_equal(e.configs[0].ready_timeout, 9 * NS_PER_S);
}

static void env_files(void **state)
{
	_cleanup_load_result_ struct load_result one, two;

	files_write("one.env", "A='1' # one\nB=1\n");
	files_write("two.env", "B=2\n");
	pm2_bed_expect(", \"env_file\": \"one.env\"", &one);
	assert_string_equal(env_find(one.configs[0].env, "A"), "1");
	pm2_bed_expect(", \"env_file\": [\"one.env\", \"two.env\"]", &two);
	assert_string_equal(env_find(two.configs[0].env, "A"), "1");
	assert_string_equal(env_find(two.configs[0].env, "B"), "2");
}

/* PM2 accepts camelCase; our own spelling has dashes. */
static void spellings(void **state)
{
	_cleanup_load_result_ struct load_result loaded, twice;
	const struct run_config *c = pm2_bed_expect(
	        ", \"killTimeout\": 3000, \"maxMemoryRestart\": \"100M\","
	        "\"drainTimeout\": 4000, \"inPlace\": true, \"outFile\": \"o.log\","
	        "\"interpreterArgs\": \"--x\", \"windowsHide\": true",
	        &loaded);

	assert_int_equal(c->kill_timeout, 3 * NS_PER_S);
	assert_int_equal(c->max_memory, 100 << 20);
	assert_int_equal(c->drain_timeout, 4 * NS_PER_S);
	assert_int_equal(c->in_place, RUN_IN_PLACE_YES);
	assert_string_equal(c->out_file, pm2_bed_here("o.log"));
	assert_string_equal(c->argv[2], "--x");
	pm2_bed_expect_problem(", \"killTimeout\": 3000, \"kill_timeout\": 2000",
	                       "killTimeout: ignored: there is no such option", false, &twice);
	assert_int_equal(twice.configs[0].kill_timeout, 2 * NS_PER_S);
}

static void wrong_values(void **state)
{
	static const struct {
		const char *members, *said;
	} cases[] = {
	        {", \"drain_timeout\": \"soon\"", "drain_timeout: 'soon' is not a time"},
	        {", \"batch\": 0", "batch: '0' is not a number from 1"},
	        {", \"listen\": [1, {}]", "listen: the value is neither text nor a number"},
	        {", \"batch\": [1]", "batch: the value is neither text nor a number"},
	        {", \"in_place\": 3", "in_place: '3' is neither yes nor no"},
	        {", \"service\": \"a b\"", "service: 'a b' is not a valid service name"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;

		pm2_bed_expect_problem(cases[i].members, cases[i].said, true, &loaded);
	}
}

/* Each option of `run` is known in a PM2 file, as PM2's own or as ours. */
static void every_option(void **state)
{
	for (const struct option_row *row = run_options; row->name; row++) {
		char key[64];

		snprintf(key, sizeof(key), "%s", row->name);
		for (char *at = key; *at; at++)
			*at = *at == '-' ? '_' : *at;
		if (!pm2_options_is_known(key) && pm2_own_find(key) != row)
			fail_msg("%s", key);
	}
	assert_null(pm2_own_find("a_name_that_is_longer_than_that_of_any_option"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_kinds),    cmocka_unit_test(readiness),
	        cmocka_unit_test(spellings),    cmocka_unit_test(wrong_values),
	        cmocka_unit_test(every_option), cmocka_unit_test(env_files),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
