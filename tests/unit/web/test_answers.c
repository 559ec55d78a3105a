/* SPDX-License-Identifier: BSD-2-Clause */
/* web/answers: how long an answer is given again. */
#include "web/answers.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "bed/unit.h"

#define S  NS_PER_S
#define T0 (100 * S)

static struct answers answers;

static int reset(void **state)
{
	answers_free(&answers);
	return 0;
}

/* Keeps an answer with this status. */
static void keep(const struct route *route, const char *service, unsigned int status, int64_t now)
{
	struct answer answer = {.route = route, .status = status, .events = json_build_new_array()};

	strcpy(answer.service, service);
	assert_int_equal(answers_keep(&answers, &answer, now)->status, status);
}

/* The status of the answer that is given, 0 = a look is needed. */
static unsigned int find(const struct route *route, const char *service, int64_t now)
{
	const struct answer *answer = answers_find(&answers, route, service, now);

	return answer ? answer->status : 0;
}

static void for_a_second(void **state)
{
	keep(&route_all[0], "a", 200, T0);
	assert_int_equal(find(&route_all[0], "a", T0), 200);
	assert_int_equal(find(&route_all[0], "a", T0 + S - 1), 200);
	assert_int_equal(find(&route_all[0], "a", T0 + S), 0);
	assert_int_equal(find(&route_all[0], "b", T0), 0);
	assert_int_equal(find(&route_all[1], "a", T0), 0);
	keep(&route_all[0], "a", 503, T0 + S);
	assert_int_equal(find(&route_all[0], "a", T0 + S), 503);
}

/* The last answer of a busy service is given until it is two seconds old. */
static void of_a_busy_service(void **state)
{
	keep(&route_all[0], "a", 200, T0);
	assert_null(answers_find_old(&answers, &route_all[0], "b", T0 + S));
	assert_non_null(answers_find_old(&answers, &route_all[0], "a", T0 + S));
	assert_int_equal(find(&route_all[0], "a", T0 + 2 * S - 1), 200);
	assert_int_equal(find(&route_all[0], "a", T0 + 2 * S), 0);
	assert_null(answers_find_old(&answers, &route_all[0], "a", T0 + 2 * S));
}

/* No answer is given that was made before a mark has changed, also not of a busy service. */
static void until_a_change(void **state)
{
	answers_note_change(&answers, 1);
	keep(&route_all[0], "a", 200, T0);
	answers_note_change(&answers, 1);
	assert_int_equal(find(&route_all[0], "a", T0), 200);
	answers_note_change(&answers, 2);
	assert_int_equal(find(&route_all[0], "a", T0), 0);
	assert_null(answers_find_old(&answers, &route_all[0], "a", T0));
}

static void ends(void **state)
{
	assert_int_equal(answers_expire(&answers, T0), INT64_MAX);
	keep(&route_all[0], "a", 200, T0);
	keep(&route_all[1], "a", 200, T0 + S);
	assert_int_equal(answers_expire(&answers, T0 + S), T0 + 2 * S);
	assert_int_equal(answers_expire(&answers, T0 + 2 * S), T0 + 3 * S);
	assert_null(answers.rows[0].events);
	assert_int_equal(answers_expire(&answers, T0 + 3 * S), INT64_MAX);
}

/* The oldest answer makes room for a new one. */
static void many(void **state)
{
	char service[RPD_LABEL_MAX];

	for (int i = 0; i <= ANSWERS_MAX; i++) {
		snprintf(service, sizeof(service), "s%d", i);
		keep(&route_all[0], service, 200, T0 + i);
	}
	assert_int_equal(find(&route_all[0], "s0", T0 + ANSWERS_MAX), 0);
	assert_int_equal(find(&route_all[0], "s1", T0 + ANSWERS_MAX), 200);
	keep(&route_all[0], "s1", 404, T0 + ANSWERS_MAX);
	assert_int_equal(find(&route_all[0], "s1", T0 + ANSWERS_MAX), 404);
	assert_int_equal(find(&route_all[0], "s2", T0 + ANSWERS_MAX), 200);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_teardown(for_a_second, reset),
	        cmocka_unit_test_teardown(of_a_busy_service, reset),
	        cmocka_unit_test_teardown(until_a_change, reset),
	        cmocka_unit_test_teardown(ends, reset),
	        cmocka_unit_test_teardown(many, reset),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
