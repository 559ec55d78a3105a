/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/ready_rule.h"

static void when_a_worker_must_listen(void **state)
{
	static const struct {
		const char *what;
		enum ready_kind kind;
		bool named;
		struct ready_seen seen;
		bool must;
	} cases[] = {
	        {"one worker, the first", READY_LISTEN, false, {false, 0, 0}, false},
	        {"one worker, the next", READY_LISTEN, false, {true, 0, 0}, true},
	        {"the second of two", READY_LISTEN, false, {false, 1, 1}, false},
	        {"of two, a reload", READY_LISTEN, false, {true, 1, 0}, true},
	        {"a port of slot 0 alone", READY_LISTEN, false, {false, 3, 1}, false},
	        {"the port of all", READY_LISTEN, false, {false, 3, 3}, true},
	        {"the third of three", READY_LISTEN, false, {false, 2, 2}, true},
	        {"half of them", READY_LISTEN, false, {false, 4, 2}, false},
	        {"more than half", READY_LISTEN, false, {false, 5, 3}, true},
	        {"named, a reload", READY_LISTEN, true, {true, 3, 3}, false},
	        {"it says so itself", READY_MESSAGE, false, {false, 3, 3}, false},
	        {"it says so itself, a reload", READY_MESSAGE, false, {true, 3, 0}, true},
	        {"it answers", READY_HTTP, false, {false, 3, 3}, false},
	        {"it just lives", READY_ALIVE, false, {false, 3, 3}, false},
	        {"it just lives, a reload", READY_ALIVE, false, {true, 3, 3}, true},
	        {"it answers, a reload", READY_HTTP, false, {true, 3, 0}, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct run_config config = {.ready = cases[i].kind,
		                                  .n_listens = cases[i].named};

		if (ready_rule_must_listen(&config, &cases[i].seen) != cases[i].must)
			fail_msg("%s", cases[i].what);
	}
}

static void readiness_without_listener(void **state)
{
	static const bool can[READY_KIND_MAX] = {
	        [READY_NOTIFY] = true,
	        [READY_MESSAGE] = true,
	        [READY_EXEC] = true,
	        [READY_ALIVE] = true,
	};

	for (enum ready_kind kind = 0; kind < READY_KIND_MAX; kind++) {
		struct run_config config = {.ready = kind};

		assert_int_equal(ready_rule_allows_no_listener(&config), can[kind]);
		config.n_listens = 1;
		assert_false(ready_rule_allows_no_listener(&config));
	}
}

static void readiness_without_message(void **state)
{
	const struct run_config pm2 = {.ready = READY_MESSAGE, .alive_after = 1};
	const struct run_config ours = {.ready = READY_MESSAGE};
	const struct run_config alive = {.ready = READY_ALIVE, .alive_after = 1};

	assert_true(ready_rule_allows_no_message(&pm2, false));
	assert_false(ready_rule_allows_no_message(&pm2, true));
	assert_false(ready_rule_allows_no_message(&ours, false));
	assert_false(ready_rule_allows_no_message(&alive, false));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(when_a_worker_must_listen),
	        cmocka_unit_test(readiness_without_listener),
	        cmocka_unit_test(readiness_without_message),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
