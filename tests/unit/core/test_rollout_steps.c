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
	        "100% 2m",
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

	assert_int_equal(rollout_steps_plan(DEPLOY_ROLLING, NULL, 8, steps), 1);
	assert_int_equal(steps[0].n_slots, 8);
	assert_false(steps[0].at_once);
	assert_int_equal(rollout_steps_plan(DEPLOY_BLUE_GREEN, NULL, 8, steps), 1);
	assert_true(steps[0].at_once && !steps[0].judged);
	assert_int_equal(rollout_steps_parse("5% 2m, 25% 3m, 95% pause", &shares, &err), 0);
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(parsed),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(planned),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
