/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rollout_steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bed/unit.h"

static void parsed(void **context)
{
	struct rollout_shares shares;
	struct error err;

	assert_int_equal(rollout_steps_parse("5% 2m,25%  3m , 50% pause", &shares, &err), 0);
	assert_int_equal(shares.n, 3);
	assert_int_equal(shares.at[0].permille, 50);
	assert_int_equal(shares.at[0].time, 120 * NS_PER_S);
	assert_false(shares.at[0].pauses);
	assert_int_equal(shares.at[1].permille, 250);
	assert_int_equal(shares.at[2].permille, 500);
	assert_int_equal(shares.at[2].time, 0);
	assert_true(shares.at[2].pauses);
}

static void refused(void **context)
{
	static const char *const texts[] = {
	        "",
	        ",",
	        "5%",
	        "5 2m",
	        "5% 2m,",
	        "0% 2m",
	        "100.1% 2m",
	        "100% 2m, 100% 2m",
	        "100% 2m, 50% 2m",
	        "5% 2m 3m",
	        "5% soon",
	        "5% -1s",
	        "2m 5%",
	        "5% 2m, 5% 3m",
	        "25% 2m, 5% 3m",
	        "0.05% 1m",
	        "5% 2m pause",
	        "-5% 2m",
	        "5%2m",
	        "pause",
	};
	struct rollout_shares shares = {.n = 77};
	char text[1024] = "";
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(rollout_steps_parse(texts[i], &shares, &err), -EINVAL);
	for (int i = 1; i <= ROLLOUT_SHARES_MAX + 1; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d%% 1s",
		         i > 1 ? ", " : "", i);
	assert_int_equal(rollout_steps_parse(text, &shares, &err), -EINVAL);
	assert_int_equal(shares.n, 77);
	*strrchr(text, ',') = 0;
	assert_int_equal(rollout_steps_parse(text, &shares, &err), 0);
	assert_int_equal(shares.n, ROLLOUT_SHARES_MAX);
}

static void planned(void **context)
{
	struct rollout_step steps[ROLLOUT_STEPS_MAX];
	struct rollout_shares shares;
	struct error err;

	assert_int_equal(rollout_steps_parse("5% 2m, 25% 3m, 95% pause", &shares, &err), 0);
	assert_int_equal(rollout_steps_plan(DEPLOY_ROLLING, &shares, 8, steps), 1);
	assert_int_equal(steps[0].n_slots, 8);
	assert_false(steps[0].at_once || steps[0].judged);
	assert_int_equal(rollout_steps_plan(DEPLOY_BLUE_GREEN, &shares, 8, steps), 1);
	assert_true(steps[0].at_once && !steps[0].judged);
	assert_int_equal(rollout_steps_plan(DEPLOY_CANARY, &shares, 8, steps), 4);
	assert_int_equal(steps[0].n_slots, 1);
	assert_int_equal(steps[0].permille, 50);
	assert_true(steps[0].judged && steps[0].at_once && !steps[0].pauses);
	assert_int_equal(steps[1].n_slots, 2);
	assert_int_equal(steps[2].n_slots, 7); /* one is left for the others */
	assert_true(steps[2].pauses);
	assert_int_equal(steps[3].n_slots, 8);
	assert_int_equal(steps[3].permille, 0);
	/* A second slot of one worker. */
	rollout_steps_plan(DEPLOY_CANARY, &shares, 2, steps);
	for (int i = 0; i < 3; i++)
		assert_int_equal(steps[i].n_slots, 1);
}

/* With a share of 100 %, the last step of any strategy is judged. */
static void planned_to_the_end(void **context)
{
	struct rollout_step steps[ROLLOUT_STEPS_MAX];
	struct rollout_shares shares;
	struct error err;

	assert_int_equal(rollout_steps_parse("5% 2m, 100% 3m", &shares, &err), 0);
	for (enum deploy_strategy strategy = 0; strategy < DEPLOY_STRATEGY_MAX; strategy++) {
		const size_t n = rollout_steps_plan(strategy, &shares, 8, steps);
		const struct rollout_step *last = &steps[n - 1];

		assert_int_equal(n, strategy == DEPLOY_CANARY ? 2 : 1);
		assert_int_equal(last->n_slots, 8);
		assert_int_equal(last->permille, 0);
		assert_int_equal(last->time, 180 * NS_PER_S);
		assert_true(last->judged && !last->pauses);
		assert_int_equal(last->at_once, strategy != DEPLOY_ROLLING);
	}
	assert_int_equal(rollout_steps_parse("100% pause", &shares, &err), 0);
	assert_int_equal(rollout_steps_plan(DEPLOY_BLUE_GREEN, &shares, 8, steps), 1);
	assert_true(steps[0].pauses);
}

/* Of an entry of 100 % with a time, the settings say by what it is judged. */
static void measured(void **context)
{
	static const struct {
		const char *steps;
		bool lack;
	} cases[] = {
	        {"5% 2m, 50% 5m", false},
	        {"100% pause", false},
	        {"5% 2m, 100% 5m", true},
	        {"100% 0", true},
	};
	const struct deploy_settings none = {}, check = {.check = "true"},
	                             rate = {.max_error_rate = 1};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rollout_shares shares;

		assert_int_equal(rollout_steps_parse(cases[i].steps, &shares, NULL), 0);
		assert_int_equal(rollout_steps_lack_measure(&shares, &none), cases[i].lack);
		assert_false(rollout_steps_lack_measure(&shares, &check));
		assert_false(rollout_steps_lack_measure(&shares, &rate));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(parsed),   cmocka_unit_test(refused),
	        cmocka_unit_test(planned),  cmocka_unit_test(planned_to_the_end),
	        cmocka_unit_test(measured),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
