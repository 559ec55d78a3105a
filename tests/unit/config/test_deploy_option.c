/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bed/unit.h"
#include "config/deploy_option.h"
#include "config/run_option.h"
#include "core/run_config.h"

static void all_words(void **state)
{
	char *words[] = {"strategy=canary",
	                 "steps=5% 2m, 25% pause",
	                 "warm-up=3s",
	                 "step-deadline=4m",
	                 "min-samples=250",
	                 "tolerate=2.5",
	                 "max-error-rate=1%",
	                 "confidence=99.9%",
	                 "pause-timeout=2h",
	                 "keep-old=10m",
	                 "keep-new=for-ever",
	                 "check=exec:./check now",
	                 "check-interval=7s",
	                 "on-change=exec:./tell",
	                 "gate=exec:./ask",
	                 "ignore=10.1.2.3/8",
	                 "ignore=::1",
	                 "dry-run",
	                 NULL};
	struct deploy_settings s;
	struct error err;

	deploy_settings_init(&s);
	assert_int_equal(s.strategy, DEPLOY_ROLLING);
	assert_int_equal(deploy_option_apply(&s, words, &err), 0);
	assert_int_equal(s.strategy, DEPLOY_CANARY);
	assert_string_equal(s.steps, "5% 2m, 25% pause");
	assert_int_equal(s.warm_up, 3 * NS_PER_S);
	assert_int_equal(s.step_deadline, 240 * NS_PER_S);
	assert_int_equal(s.min_samples, 250);
	assert_int_equal(s.tolerate, 250);
	assert_int_equal(s.max_error_rate, 10);
	assert_int_equal(s.confidence, 999);
	assert_int_equal(s.pause_timeout, 7200 * NS_PER_S);
	assert_int_equal(s.keep_old, 600 * NS_PER_S);
	assert_true(s.keep_new == DEPLOY_FOR_EVER);
	assert_true(s.dry_run);
	assert_string_equal(s.check, "./check now");
	assert_int_equal(s.check_interval, 7 * NS_PER_S);
	assert_string_equal(s.on_change, "./tell");
	assert_string_equal(s.gate, "./ask");
	assert_int_equal(s.ignore.n, 2);
	assert_int_equal(deploy_option_apply(&s, NULL, &err), 0);
}

/* What is wrong is named, and the words before it hold. */
static void refused(void **state)
{
	static char *const texts[] = {"strategy=green",
	                              "strategy",
	                              "strategy=",
	                              "warm-up=soon",
	                              "tolerate=0.9",
	                              "tolerate=150%",
	                              "max-error-rate=0",
	                              "max-error-rate=100%",
	                              "confidence=100",
	                              "keep-new=always",
	                              "check=./check",
	                              "check=exec:",
	                              "gate=./ask",
	                              "ignore=10.0.0.0/33",
	                              "ignore=localhost",
	                              "steps=5%",
	                              "steps=5% 2m, 3% 2m",
	                              "min-samples=0",
	                              "dry-run=perhaps",
	                              "workers=2",
	                              "=",
	                              ""};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char *words[] = {"keep-old=1s", texts[i], NULL};
		struct deploy_settings s;
		struct error err = {};

		deploy_settings_init(&s);
		if (deploy_option_apply(&s, words, &err) != -EINVAL)
			fail_msg("'%s' is accepted", texts[i]);
		assert_int_equal(err.status, EXIT_USAGE);
		assert_int_equal(s.keep_old, NS_PER_S);
		if (strchr(texts[i], '=') && texts[i][0] != '=')
			assert_memory_equal(err.text, texts[i], strcspn(texts[i], "="));
	}
}

/* They are added to those of the service, up to a limit. */
static void many_ignored(void **state)
{
	char *words[] = {"ignore=192.0.2.1", NULL};
	struct deploy_settings s;
	struct error err;

	deploy_settings_init(&s);
	for (int i = 0; i < RPD_IGNORED_MAX; i++)
		assert_int_equal(deploy_option_apply(&s, words, &err), 0);
	assert_int_equal(deploy_option_apply(&s, words, &err), -EINVAL);
	assert_int_equal(s.ignore.n, RPD_IGNORED_MAX);
}

/* `run` and its files have the same options. */
static void of_run(void **state)
{
	struct run_config config;
	struct error err;

	run_config_init(&config);
	for (const struct option_row *row = deploy_options; row->name; row++)
		assert_non_null(option_find(run_options, row->name));
	assert_int_equal(run_option_set(&config, "strategy", "blue-green", 1, &err), 0);
	assert_int_equal(config.deploy.strategy, DEPLOY_BLUE_GREEN);
	run_config_free(&config);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_words),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(many_ignored),
	        cmocka_unit_test(of_run),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
