/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/restart_backoff.h"

static struct run_config config_of(void)
{
	return (struct run_config){
	        .backoff_min = 100, .backoff_max = 700, .max_restarts = 6, .min_uptime = 1000};
}

static void pauses_double(void **context)
{
	static const int64_t pauses[] = {
	        0, 100, 200, 400, 700, RESTART_BACKOFF_NEVER, RESTART_BACKOFF_NEVER};
	const struct run_config config = config_of();
	unsigned int crashes = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(pauses); i++) {
		assert_int_equal(restart_backoff_pause(&config, i % 2 ? 999 : 0, &crashes),
		                 pauses[i]);
		assert_int_equal(crashes, i + 1);
	}
}

/* A worker that ran long enough resets the crash counter. */
static void long_run_resets_the_counter(void **context)
{
	const struct run_config config = config_of();
	unsigned int crashes = 4;

	assert_int_equal(restart_backoff_pause(&config, 1000, &crashes), 0);
	assert_int_equal(crashes, 0);
	assert_int_equal(restart_backoff_pause(&config, 1, &crashes), 0);
	assert_int_equal(restart_backoff_pause(&config, 1, &crashes), 100);
}

static void restart_delay(void **context)
{
	struct run_config config = config_of();
	unsigned int crashes = 0;

	config.restart_delay = 5;
	assert_int_equal(restart_backoff_pause(&config, 2000, &crashes), 5);
	assert_int_equal(restart_backoff_pause(&config, 0, &crashes), 5);
	assert_int_equal(restart_backoff_pause(&config, 0, &crashes), 105);
	config.max_restarts = 1;
	crashes = 0;
	assert_int_equal(restart_backoff_pause(&config, 0, &crashes), RESTART_BACKOFF_NEVER);
}

/* Each end has a pause. Its growth begins again after a long run. */
static void pauses_of_pm2(void **context)
{
	static const int64_t pauses[] = {100, 150, 225, 337, 505, 700};
	struct run_config config = config_of();
	unsigned int crashes = 0;

	config.backoff_of_pm2 = true;
	config.max_restarts = 7;
	for (unsigned int i = 0; i < ARRAY_SIZE(pauses); i++)
		assert_int_equal(restart_backoff_pause(&config, 999, &crashes), pauses[i]);
	assert_int_equal(restart_backoff_pause(&config, 1000, &crashes), 100);
	assert_int_equal(restart_backoff_pause(&config, 999, &crashes), 150);
	config.max_restarts = 1;
	assert_int_equal(restart_backoff_pause(&config, 1000, &crashes), 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(pauses_double),
	        cmocka_unit_test(pauses_of_pm2),
	        cmocka_unit_test(long_run_resets_the_counter),
	        cmocka_unit_test(restart_delay),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
