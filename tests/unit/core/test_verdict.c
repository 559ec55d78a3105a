/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/verdict.h"
#include "verdict_bed.h"

#define ANY_SIGNAL (-1)

static struct verdict_state state;
static struct verdict_counts counts;

/* A step at a share of 10 %. */
static void begin_with(const struct verdict_rules *rules)
{
	memset(&counts, 0, sizeof(counts));
	verdict_begin(&state, rules);
	verdict_step(&state, 100, &counts);
}

static int begin(void **context)
{
	begin_with(&verdict_bed_rules);
	return 0;
}

static void add(enum verdict_signal signal, unsigned int new_n, unsigned int new_bad,
                unsigned int old_n, unsigned int old_bad)
{
	verdict_bed_add(&counts.of[signal], new_n, new_bad, old_n, old_bad);
}

static void expect(enum verdict_time time, enum verdict_answer answer, enum verdict_reason reason,
                   int signal)
{
	assert_string_equal(verdict_answer_name(verdict_look(&state, &counts, time)),
	                    verdict_answer_name(answer));
	assert_int_equal(state.answer, answer);
	assert_int_equal(state.reason, reason);
	if (signal != ANY_SIGNAL)
		assert_int_equal(state.signal, signal);
}

/* Makes looks until the answer is BAD; each one adds to the counts. Returns how many. */
static unsigned int looks_until_bad(enum verdict_signal signal, unsigned int new_n,
                                    unsigned int new_bad, unsigned int old_n, unsigned int old_bad)
{
	for (unsigned int look = 1; look <= 1000; look++) {
		add(signal, new_n, new_bad, old_n, old_bad);
		if (verdict_look(&state, &counts, VERDICT_EARLY) == VERDICT_BAD)
			return look;
	}
	return 0;
}

static void look_at(enum verdict_signal signal, unsigned int looks, unsigned int new_n,
                    unsigned int new_bad, unsigned int old_n, unsigned int old_bad)
{
	for (; looks; looks--) {
		add(signal, new_n, new_bad, old_n, old_bad);
		assert_int_equal(verdict_look(&state, &counts, VERDICT_EARLY), VERDICT_NOT_YET);
	}
}

static double evidence(enum verdict_signal signal)
{
	return verdict_report(&state, signal).evidence;
}

/* Good: its time is over, and it has enough samples of both versions. */
static void good(void **context)
{
	add(VERDICT_RESETS, 100, 1, 900, 9);
	expect(VERDICT_EARLY, VERDICT_NOT_YET, VERDICT_BECAUSE_TIME, ANY_SIGNAL);
	expect(VERDICT_TIME_OVER, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, VERDICT_RESETS);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, VERDICT_RESETS);
}

/* Waits for samples until the deadline. Either unit is enough. */
static void few_samples(void **context)
{
	add(VERDICT_RESETS, 99, 0, 900, 0);
	expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_FEW_NEW, VERDICT_RESETS);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_FEW_NEW, VERDICT_RESETS);
	add(VERDICT_HTTP_5XX, 100, 0, 900, 0);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, VERDICT_HTTP_5XX);
}

/* They are needed in each step. */
static void few_samples_in_the_next_step(void **context)
{
	add(VERDICT_RESETS, 500, 0, 4500, 0);
	expect(VERDICT_TIME_OVER, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
	verdict_step(&state, 250, &counts);
	add(VERDICT_RESETS, 50, 0, 150, 0);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_FEW_NEW, VERDICT_RESETS);
}

/* Without the old version there is no comparison; with the whole share there can't be one. */
static void few_samples_of_the_old_version(void **context)
{
	add(VERDICT_RESETS, 500, 0, 99, 0);
	expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_FEW_OLD, VERDICT_RESETS);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_FEW_OLD, VERDICT_RESETS);
	verdict_step(&state, 1000, &counts);
	add(VERDICT_RESETS, 100, 50, 0, 0);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
}

static void no_traffic(void **context)
{
	expect(VERDICT_EARLY, VERDICT_NOT_YET, VERDICT_BECAUSE_TIME, ANY_SIGNAL);
	expect(VERDICT_TIME_OVER, VERDICT_NO_TRAFFIC, VERDICT_BECAUSE_NO_TRAFFIC, ANY_SIGNAL);
	/* Not of the new version; and nothing that is immediate is traffic. */
	add(VERDICT_RESETS, 0, 0, 5000, 0);
	add(VERDICT_CHECK, 1, 0, 0, 0);
	expect(VERDICT_LATE, VERDICT_NO_TRAFFIC, VERDICT_BECAUSE_NO_TRAFFIC, ANY_SIGNAL);
	add(VERDICT_RESETS, 200, 0, 0, 0);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
}

/* Each immediate signal is bad at once, also if it came before the step (in its warm-up), and also
 * without traffic. BAD stays. */
static void immediate_signals(void **context)
{
	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		begin_with(&verdict_bed_rules);
		if (!verdict_signal(i)->immediate)
			continue;
		add(i, 1, 0, 1, 1); /* of the old version it says nothing */
		expect(VERDICT_EARLY, VERDICT_NOT_YET, VERDICT_BECAUSE_TIME, ANY_SIGNAL);
		counts.of[i].new.bad++;
		verdict_step(&state, 250, &counts);
		expect(VERDICT_EARLY, VERDICT_BAD, VERDICT_BECAUSE_IMMEDIATE, i);
		verdict_step(&state, 250, &counts);
		add(VERDICT_RESETS, 1000, 0, 1000, 0);
		expect(VERDICT_LATE, VERDICT_BAD, VERDICT_BECAUSE_IMMEDIATE, i);
		assert_int_equal(state.of[VERDICT_RESETS].total.new.n, 0);
	}
}

/* What happened at once explains more than any evidence. */
static void immediate_first(void **context)
{
	look_at(VERDICT_RESETS, 4, 6, 1, 54, 0);
	add(VERDICT_RESETS, 6, 1, 54, 0);
	add(VERDICT_CHECK, 1, 1, 0, 0);
	expect(VERDICT_EARLY, VERDICT_BAD, VERDICT_BECAUSE_IMMEDIATE, VERDICT_CHECK);
	assert_true(verdict_report(&state, VERDICT_RESETS).answer == VERDICT_BAD);
	assert_true(evidence(VERDICT_CHECK) == 0);
}

/* What came before the step, with other signals, is not judged. */
static void warm_up(void **context)
{
	add(VERDICT_RESETS, 1000, 900, 9000, 0);
	verdict_step(&state, 100, &counts);
	expect(VERDICT_TIME_OVER, VERDICT_NO_TRAFFIC, VERDICT_BECAUSE_NO_TRAFFIC, ANY_SIGNAL);
	add(VERDICT_RESETS, 100, 0, 900, 0);
	expect(VERDICT_TIME_OVER, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
}

/* Each statistic by itself makes it bad, as soon as the evidence is there: after five looks, each
 * with errors of the new version only. */
static void each_signal(void **context)
{
	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		if (verdict_signal(i)->immediate)
			continue;
		begin_with(&verdict_bed_rules);
		/* What is slow has been tolerated before. */
		assert_int_equal(looks_until_bad(i, 6, 1, 54, 0), verdict_signal(i)->time ? 4 : 5);
		expect(VERDICT_EARLY, VERDICT_BAD, VERDICT_BECAUSE_EVIDENCE, i);
		assert_true(verdict_report(&state, i).answer == VERDICT_BAD);
	}
}

/* 6 signals and 1 % of false alarms: 600. Three of them also with max-error-rate: 900. Only one of
 * them, if responses are not counted. */
static void threshold(void **context)
{
	struct verdict_rules rules = verdict_bed_rules;

	assert_true(verdict_report(&state, VERDICT_RESETS).threshold == 600);
	assert_true(verdict_report(&state, VERDICT_CHECK).threshold == 0);
	rules.confidence = 950;
	begin_with(&rules);
	assert_true(verdict_report(&state, VERDICT_RESETS).threshold == 120);
	rules.confidence = 990;
	rules.max_error_rate = 10;
	begin_with(&rules);
	assert_true(verdict_report(&state, VERDICT_RESETS).threshold == 900);
	rules.http = 0;
	begin_with(&rules);
	assert_true(verdict_report(&state, VERDICT_RESETS).threshold == 200);
	rules.max_error_rate = 0;
	begin_with(&rules);
	assert_true(verdict_report(&state, VERDICT_RESETS).threshold == 100);
}

/* The evidence of one step is there in the next, at another share. */
static void sums_go_on(void **context)
{
	double before;

	look_at(VERDICT_HTTP_5XX, 4, 10, 1, 90, 0);
	before = evidence(VERDICT_HTTP_5XX);
	assert_true(before > VERDICT_SUSPICION);
	verdict_step(&state, 500, &counts);
	assert_true(evidence(VERDICT_HTTP_5XX) == before);
	/* By itself, this would take more. */
	assert_in_range(looks_until_bad(VERDICT_HTTP_5XX, 10, 1, 10, 0), 1, 8);
	assert_int_equal(state.of[VERDICT_HTTP_5XX].test.looks,
	                 verdict_report(&state, VERDICT_HTTP_5XX).new.bad);
	begin_with(&verdict_bed_rules);
	verdict_step(&state, 500, &counts);
	assert_true(looks_until_bad(VERDICT_HTTP_5XX, 10, 1, 10, 0) > 12);
}

/* Evidence that is neither weak nor enough keeps the step from being good. */
static void suspicion(void **context)
{
	look_at(VERDICT_HTTP_5XX, 4, 30, 1, 270, 0);
	expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_EVIDENCE, VERDICT_HTTP_5XX);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_EVIDENCE, VERDICT_HTTP_5XX);
	assert_true(verdict_report(&state, VERDICT_HTTP_5XX).answer == VERDICT_INCONCLUSIVE);
	look_at(VERDICT_HTTP_5XX, 40, 30, 0, 270, 1);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, VERDICT_HTTP_5XX);
}

/* A step is good only after its check has found it good, in this step. */
/* A step of two looks is too short for evidence, but is not good if all fails. */
static void mostly_bad(void **context)
{
	verdict_step(&state, 500, &counts);
	look_at(VERDICT_HTTP_5XX, 1, 60, 60, 60, 0);
	add(VERDICT_HTTP_5XX, 60, 60, 60, 0);
	expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_EVIDENCE, VERDICT_HTTP_5XX);
	assert_true(evidence(VERDICT_HTTP_5XX) < VERDICT_SUSPICION);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_EVIDENCE, VERDICT_HTTP_5XX);
	add(VERDICT_HTTP_5XX, 121, 0, 121, 0);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, VERDICT_HTTP_5XX);
}

static void check(void **context)
{
	struct verdict_rules rules = verdict_bed_rules;

	rules.check = 1;
	begin_with(&rules);
	for (unsigned int step = 0; step < 2; step++) {
		add(VERDICT_RESETS, 200, 0, 1800, 0);
		expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_CHECK, VERDICT_CHECK);
		expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_CHECK, VERDICT_CHECK);
		add(VERDICT_CHECK, 1, 0, 0, 0);
		expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
		verdict_step(&state, 100, &counts);
	}
}

/* The limit is on the errors of the new version alone. */
static void max_error_rate(void **context)
{
	struct verdict_rules rules = verdict_bed_rules;

	rules.max_error_rate = 10; /* 1 % */
	begin_with(&rules);
	assert_in_range(looks_until_bad(VERDICT_HTTP_5XX, 20, 1, 180, 9), 2, 15);
	expect(VERDICT_EARLY, VERDICT_BAD, VERDICT_BECAUSE_LIMIT, VERDICT_HTTP_5XX);
	assert_true(verdict_report(&state, VERDICT_HTTP_5XX).by_limit);
	begin_with(&verdict_bed_rules);
	look_at(VERDICT_HTTP_5XX, 100, 20, 1, 180, 9);
	expect(VERDICT_TIME_OVER, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
}

/* A rate that is above the limit, but not for sure, is not good. */
static void somewhat_above_max_error_rate(void **context)
{
	struct verdict_rules rules = verdict_bed_rules;

	rules.max_error_rate = 10;
	begin_with(&rules);
	add(VERDICT_RESETS, 1000, 11, 9000, 99);
	expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_LIMIT, VERDICT_RESETS);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_LIMIT, VERDICT_RESETS);
	add(VERDICT_RESETS, 200, 0, 1800, 0);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
	/* What is slow is no error. */
	look_at(VERDICT_SLOW_P50, 30, 1000, 500, 9000, 4500);
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
}

/* The new version answers nothing that looks like HTTP, the old one does. */
static void unseen(void **context)
{
	add(VERDICT_RESETS, 500, 0, 4500, 0);
	add(VERDICT_HTTP_5XX, 0, 0, 899, 0);
	expect(VERDICT_TIME_OVER, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, ANY_SIGNAL);
	add(VERDICT_HTTP_5XX, 0, 0, 1, 0); /* so 100 would be of the new one */
	expect(VERDICT_TIME_OVER, VERDICT_NOT_YET, VERDICT_BECAUSE_UNSEEN, VERDICT_HTTP_5XX);
	expect(VERDICT_LATE, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_UNSEEN, VERDICT_HTTP_5XX);
	assert_true(verdict_report(&state, VERDICT_HTTP_5XX).answer == VERDICT_NO_TRAFFIC);
}

/* Of few connections that are kept alive, the new version has more than its share: of ten, one. So
 * it has more of the errors, too. */
static void more_than_its_share(void **context)
{
	verdict_step(&state, 50, &counts);
	for (unsigned int look = 0; look < 200; look++) {
		add(VERDICT_RESETS, look == 0, 0, look == 0 ? 9 : 0, 0);
		add(VERDICT_HTTP_5XX, 100, 2, 400, 8);
		assert_int_equal(verdict_look(&state, &counts, VERDICT_EARLY), VERDICT_NOT_YET);
	}
	expect(VERDICT_LATE, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, VERDICT_HTTP_5XX);
	/* Less than its share is none of its merits. */
	begin_with(&verdict_bed_rules);
	assert_int_equal(looks_until_bad(VERDICT_HTTP_5XX, 1, 1, 499, 0), 5);
}

/* A client that floods the new version hides no error of it: the share is bounded. */
static void flood_of_responses(void **context)
{
	assert_in_range(looks_until_bad(VERDICT_HTTP_5XX, 100000, 1, 900, 0), 1, 20);
	begin_with(&verdict_bed_rules);
	verdict_step(&state, 500, &counts);
	assert_in_range(looks_until_bad(VERDICT_HTTP_5XX, 100000, 2, 900, 0), 1, 200);
	/* Four times as many requests a connection as to the old version, and as good. */
	begin_with(&verdict_bed_rules);
	look_at(VERDICT_HTTP_5XX, 200, 400, 4, 900, 9);
}

/* The counters begin at 0 again: the look is left out, the next one counts again. */
static void counter_falls(void **context)
{
	add(VERDICT_RESETS, 500, 0, 4500, 0);
	expect(VERDICT_EARLY, VERDICT_NOT_YET, VERDICT_BECAUSE_TIME, ANY_SIGNAL);
	memset(&counts, 0, sizeof(counts));
	add(VERDICT_RESETS, 60, 60, 5000, 0);
	expect(VERDICT_EARLY, VERDICT_NOT_YET, VERDICT_BECAUSE_TIME, ANY_SIGNAL);
	assert_int_equal(state.of[VERDICT_RESETS].total.new.n, 500);
	assert_true(evidence(VERDICT_RESETS) == 1);
	assert_int_equal(looks_until_bad(VERDICT_RESETS, 60, 1, 540, 0), 5);
	assert_int_equal(state.of[VERDICT_RESETS].total.new.bad, 5);
}

/* A burst in one look weighs as one error, also against max-error-rate. */
static void burst(void **context)
{
	struct verdict_rules rules = verdict_bed_rules;
	double of_one;

	rules.max_error_rate = 500;
	begin_with(&rules);
	look_at(VERDICT_HTTP_5XX, 1, 500, 1, 4500, 0);
	of_one = evidence(VERDICT_HTTP_5XX);
	begin_with(&rules);
	look_at(VERDICT_HTTP_5XX, 1, 500, 500, 4500, 0);
	assert_true(evidence(VERDICT_HTTP_5XX) == of_one);
	assert_int_equal(verdict_report(&state, VERDICT_HTTP_5XX).new.bad, 500);
}

/* A state that was written to a file and read again goes on as the original does. */
static void goes_on(void **context)
{
	unsigned char file[sizeof(struct verdict_state)];

	seed_start("counts");
	for (unsigned int look = 0; look < 500; look++) {
		const enum verdict_time time = seed_next(3);
		struct verdict_state copy;

		if (look % 50 == 0)
			begin_with(&verdict_bed_rules);
		if (look % 20 == 0)
			verdict_step(&state, seed_between(1, 1000), &counts);
		memcpy(file, &state, sizeof(file));
		assert_true(verdict_valid(file, sizeof(file)));
		memcpy(&copy, file, sizeof(file));
		for (unsigned int i = VERDICT_RESETS; i < VERDICT_SIGNAL_MAX; i++)
			add(i, seed_next(50), seed_next(3), seed_next(500), seed_next(10));
		assert_int_equal(verdict_look(&state, &counts, time),
		                 verdict_look(&copy, &counts, time));
		assert_memory_equal(&copy, &state, sizeof(state));
	}
}

static void not_a_state(void **context)
{
	struct verdict_state other = state;

	assert_true(verdict_valid(&state, sizeof(state)));
	assert_false(verdict_valid(&state, sizeof(state) - 1));
	assert_false(verdict_valid(&state, 0));
#define REFUSED(member, value)                                                                     \
	do {                                                                                       \
		other = state;                                                                     \
		other.member = (value);                                                            \
		assert_false(verdict_valid(&other, sizeof(other)));                                \
	} while (0)
	REFUSED(version, VERDICT_STATE_VERSION + 1);
	REFUSED(size, sizeof(state) + 8);
	REFUSED(rules.tolerate, 99);
	REFUSED(rules.confidence, 1000);
	REFUSED(rules.confidence, 0);
	REFUSED(rules.max_error_rate, 1000);
	REFUSED(permille, 1001);
	REFUSED(answer, VERDICT_ANSWER_MAX);
	REFUSED(reason, VERDICT_REASON_MAX);
	REFUSED(signal, VERDICT_SIGNAL_MAX);
	REFUSED(of[VERDICT_HTTP_5XX].test.parts[3], NAN);
	REFUSED(of[VERDICT_HTTP_5XX].test.parts[3], -1);
	REFUSED(of[VERDICT_HTTP_5XX].limit.parts[3], 1e20);
	REFUSED(of[VERDICT_SLOW_P99].limit.parts[0], INFINITY);
	REFUSED(of[VERDICT_SLOW_P99].test.most, INFINITY);
	REFUSED(of[VERDICT_RESETS].limit.most, -1);
}

static void never_below_zero(void **context)
{
	const struct verdict_count count = {.n = 5, .bad = 2};
	struct verdict_count rest;

	rest = verdict_without(&count, &(struct verdict_count){.n = 3, .bad = 2});
	assert_int_equal(rest.n, 2);
	assert_int_equal(rest.bad, 0);
	rest = verdict_without(&count, &(struct verdict_count){.n = 6, .bad = 3});
	assert_int_equal(rest.n, 0);
	assert_int_equal(rest.bad, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(good, begin),
	        cmocka_unit_test_setup(few_samples, begin),
	        cmocka_unit_test_setup(few_samples_in_the_next_step, begin),
	        cmocka_unit_test_setup(few_samples_of_the_old_version, begin),
	        cmocka_unit_test_setup(no_traffic, begin),
	        cmocka_unit_test_setup(immediate_signals, begin),
	        cmocka_unit_test_setup(immediate_first, begin),
	        cmocka_unit_test_setup(warm_up, begin),
	        cmocka_unit_test_setup(each_signal, begin),
	        cmocka_unit_test_setup(threshold, begin),
	        cmocka_unit_test_setup(sums_go_on, begin),
	        cmocka_unit_test_setup(suspicion, begin),
	        cmocka_unit_test_setup(mostly_bad, begin),
	        cmocka_unit_test_setup(check, begin),
	        cmocka_unit_test_setup(max_error_rate, begin),
	        cmocka_unit_test_setup(somewhat_above_max_error_rate, begin),
	        cmocka_unit_test_setup(unseen, begin),
	        cmocka_unit_test_setup(more_than_its_share, begin),
	        cmocka_unit_test_setup(flood_of_responses, begin),
	        cmocka_unit_test_setup(counter_falls, begin),
	        cmocka_unit_test_setup(burst, begin),
	        cmocka_unit_test_setup(goes_on, begin),
	        cmocka_unit_test_setup(not_a_state, begin),
	        cmocka_unit_test(never_below_zero),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
