/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_mode.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "bed/files.h"
#include "bed/unit.h"
#include "config/pm2_bed.h"

#define MS 1000000ll

/* Which apps are reloaded in place unless they listen, and don't share loopback addresses: those of
 * fork mode. */
static void fork_mode(void **state)
{
	static const struct {
		const char *members;
		bool fork;
	} cases[] = {
	        {"", true},
	        {", \"instances\": 1", false},
	        {", \"instances\": \"max\"", false},
	        {", \"instances\": 0", false},
	        {", \"instances\": -1", false},
	        {", \"instances\": -2", true},
	        {", \"instances\": 2.5", false},
	        {", \"instances\": 0.5", true},
	        {", \"instances\": \"-1.5\"", false},
	        {", \"exec_mode\": \"\"", true},
	        {", \"instances\": 2, \"execute_command\": true", true},
	        {", \"instances\": 2, \"exec_mode\": \"fork\"", true},
	        {", \"exec_mode\": \"fork_mode\"", true},
	        {", \"exec_mode\": \"cluster\"", false},
	        {", \"instances\": 2, \"interpreter\": \"python3\"", true},
	        {", \"instances\": 2, \"interpreter\": \"none\"", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		const struct run_config *c = pm2_bed_expect(cases[i].members, &loaded);

		assert_int_equal(c->in_place,
		                 cases[i].fork ? RUN_IN_PLACE_UNLESS_LISTENING : RUN_IN_PLACE_NO);
		assert_int_equal(c->share_loopback, !cases[i].fork);
	}
}

/* PM2 gives up on a worker only if max_restarts crashes take less than max_restarts * min_uptime.
 */
static void restarts(void **state)
{
	static const struct {
		const char *members;
		int64_t delay, pause;
		unsigned int max;
	} cases[] = {
	        {"", 0, 100 * MS, 16},
	        {", \"restart_delay\": 1000", 1000 * MS, 1, 16},
	        {", \"restart_delay\": 1070", 1070 * MS, 1, UINT_MAX},
	        {", \"restart_delay\": 1000, \"min_uptime\": 100", 1000 * MS, 1, UINT_MAX},
	        {", \"restart_delay\": 5000, \"max_restarts\": 1", 5000 * MS, 1, 1},
	        {", \"exp_backoff_restart_delay\": 100", 0, 100 * MS, UINT_MAX},
	        {", \"exp_backoff_restart_delay\": 100, \"max_restarts\": 5", 0, 100 * MS, 5},
	        {", \"restart_delay\": 31000000000, \"max_restarts\": 1000000,"
	         "\"min_uptime\": 31000000000",
	         31000000000 * MS, 1, 1000000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		const struct run_config *c = pm2_bed_expect(cases[i].members, &loaded);

		assert_int_equal(c->restart_delay, cases[i].delay);
		assert_int_equal(c->backoff_min, cases[i].pause);
		assert_int_equal(c->max_restarts, cases[i].max);
		assert_int_equal(c->backoff_of_pm2, cases[i].pause == 100 * MS && i);
	}
}

/* PM2 begins again with the first pause when a process has run for 30 s. */
static void growing_pauses(void **state)
{
	_cleanup_load_result_ struct load_result a, b, c;

	assert_int_equal(pm2_bed_expect(", \"exp_backoff_restart_delay\": 100", &a)->min_uptime,
	                 30 * NS_PER_S);
	assert_int_equal(pm2_bed_expect(", \"restart_delay\": 5000", &b)->min_uptime, NS_PER_S);
	assert_int_equal(
	        pm2_bed_expect(", \"exp_backoff_restart_delay\": 1,\"max_restarts\": 5", &c)
	                ->min_uptime,
	        NS_PER_S);
}

static void stop_exit_codes(void **state)
{
	static const struct {
		const char *value;
		int code;
		bool stops;
	} cases[] = {{"[0]", 0, true},        {"[0]", 1, false},    {"0", 0, true},
	             {"[0, 143]", 143, true}, {"[\"7\"]", 7, true}, {"[]", 0, false},
	             {"255", 255, true}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_load_result_ struct load_result loaded;
		char members[64];

		snprintf(members, sizeof(members), ", \"stop_exit_codes\": %s", cases[i].value);
		assert_int_equal(
		        run_config_stops_at(pm2_bed_expect(members, &loaded), cases[i].code),
		        cases[i].stops);
		assert_false(run_config_stops_at(&loaded.configs[0], -1));
	}
}

/* Only true and false are flags. */
static void flags(void **state)
{
	static const char *const names[] = {"autorestart", "autostart", "execute_command",
	                                    "merge_logs",  "treekill",  "wait_ready"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_load_result_ struct load_result loaded;
		char text[128];

		snprintf(text, sizeof(text), "[{\"script\": \"app.js\", \"%s\": %s}]", names[i],
		         i % 2 ? "\"false\"" : "0");
		pm2_bed_load(text, NULL, NULL, &loaded);
		assert_int_equal(loaded.problems.n_errors, 1);
		assert_non_null(strstr(loaded.problems.list[0].text, "neither true nor false"));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fork_mode),      cmocka_unit_test(restarts),
	        cmocka_unit_test(growing_pauses), cmocka_unit_test(stop_exit_codes),
	        cmocka_unit_test(flags),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), pm2_bed_setup, files_teardown);
}
