/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/verdict_text.h"
#include "verdict_bed.h"

static struct verdict_rules rules;
static struct verdict_state state;
static struct verdict_counts counts;
static char text[VERDICT_TEXT_MAX];

static void begin_again(void)
{
	memset(&counts, 0, sizeof(counts));
	verdict_begin(&state, &rules);
	verdict_step(&state, 50, &counts);
}

static int begin(void **context)
{
	rules = verdict_bed_rules;
	begin_again();
	return 0;
}

/* Looks, and compares the text. */
static void expect(enum verdict_time time, const char *expected)
{
	verdict_look(&state, &counts, time);
	verdict_text(&state, text);
	assert_string_equal(text, expected);
}

static void by_evidence(void **context)
{
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 400, 1, 7600, 2);
	verdict_look(&state, &counts, VERDICT_EARLY);
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 40, 3, 760, 0);
	verdict_look(&state, &counts, VERDICT_EARLY);
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 20, 1, 380, 0);
	expect(VERDICT_LATE, "responses 5xx: 5 of 460 (new), 2 of 8,740 (old): evidence 40 of 600");
	verdict_text_signal(&state, VERDICT_RESETS, text);
	assert_string_equal(text, "reset connections: not seen");
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 10, 5, 190, 0);
	verdict_look(&state, &counts, VERDICT_EARLY);
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 10, 1, 190, 0);
	expect(VERDICT_EARLY,
	       "responses 5xx: 11 of 480 (new), 2 of 9,120 (old): evidence 1,160 of "
	       "600");
}

static void little_evidence(void **context)
{
	verdict_bed_add(&counts.of[VERDICT_SLOW_P99], 1000, 10, 1234567, 12345);
	verdict_look(&state, &counts, VERDICT_LATE);
	verdict_text_signal(&state, VERDICT_SLOW_P99, text);
	assert_string_equal(
	        text,
	        "responses slower than p99 (new: x 1.5 + 1 ms): 10 of 1,000 (new), 12,345 "
	        "of 1,234,567 (old): evidence 0.8 of 600");
}

static void immediate(void **context)
{
	verdict_bed_add(&counts.of[VERDICT_CHECK], 0, 1, 0, 0);
	expect(VERDICT_EARLY, "failed checks: 1 (new)");
}

static void waiting(void **context)
{
	rules.http = 0;
	begin_again();
	expect(VERDICT_EARLY, "0 connections of the new version so far in this step");
	expect(VERDICT_LATE, "the new version got no connection in this step");
	verdict_bed_add(&counts.of[VERDICT_RESETS], 37, 0, 703, 0);
	expect(VERDICT_LATE, "37 of 100 connections of the new version in this step");
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 1480, 0, 28000, 0);
	expect(VERDICT_LATE, "1,480 responses of the new version in this step, nothing against it");
	begin_again();
	verdict_bed_add(&counts.of[VERDICT_RESETS], 100, 0, 3, 0);
	expect(VERDICT_LATE,
	       "3 of 100 connections of the old version in this step: not enough to "
	       "compare with");
}

static void check(void **context)
{
	rules.http = 0;
	rules.check = 1;
	begin_again();
	verdict_bed_add(&counts.of[VERDICT_RESETS], 100, 0, 1900, 0);
	expect(VERDICT_LATE, "the check has not found the new version good in this step");
	verdict_bed_add(&counts.of[VERDICT_CHECK], 1, 1, 0, 0);
	expect(VERDICT_LATE, "failed checks: 1 (new)");
}

static void limit(void **context)
{
	rules.max_error_rate = 15;
	begin_again();
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 1000, 16, 19000, 0);
	expect(VERDICT_LATE,
	       "responses 5xx: 16 of 1,000 (new), 0 of 19,000 (old): evidence 3.4 of "
	       "900, above max-error-rate 1.5%");
	for (unsigned int look = 0; look < 10; look++) {
		verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 250, 30, 4750, 800);
		verdict_look(&state, &counts, VERDICT_EARLY);
	}
	expect(VERDICT_EARLY,
	       "responses 5xx: 316 of 3,500 (new), 8,000 of 66,500 (old): evidence "
	       "1,489 of 900 against max-error-rate 1.5%");
}

/* Without HTTP, the text says what was judged; not if responses are not counted at all. */
static void without_http(void **context)
{
	rules.http = 0;
	begin_again();
	verdict_bed_add(&counts.of[VERDICT_RESETS], 100, 0, 1900, 0);
	expect(VERDICT_LATE, "100 connections of the new version in this step, nothing against it");
	rules.http = 1;
	begin_again();
	expect(VERDICT_LATE, "the new version got no connection in this step");
	verdict_bed_add(&counts.of[VERDICT_RESETS], 100, 0, 1900, 0);
	expect(VERDICT_LATE,
	       "100 connections of the new version in this step, nothing against it; "
	       "no HTTP was seen (TLS or HTTP/2 hide it): judged by the rest");
	verdict_bed_add(&counts.of[VERDICT_HTTP_5XX], 0, 0, 1900, 0);
	expect(VERDICT_LATE,
	       "no responses of the new version were seen in this step, but 1,900 of "
	       "the old version");
}

/* The largest numbers fit. */
static void large_numbers(void **context)
{
	const struct verdict_count most = {UINT64_MAX, UINT64_MAX};

	rules.max_error_rate = 999;
	rules.http = 1;
	begin_again();
	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		state.of[i].total = state.of[i].step = (struct verdict_pair){most, most};
		verdict_text_signal(&state, i, text);
		assert_true(strlen(text) < VERDICT_TEXT_MAX - 1);
		state.signal = i;
		for (state.reason = 0; state.reason < VERDICT_REASON_MAX; state.reason++) {
			state.of[VERDICT_HTTP_5XX].total = (struct verdict_pair){0};
			verdict_text(&state, text);
			assert_true(strlen(text) > 10 && strlen(text) < VERDICT_TEXT_MAX - 1);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(by_evidence, begin),
	        cmocka_unit_test_setup(little_evidence, begin),
	        cmocka_unit_test_setup(immediate, begin),
	        cmocka_unit_test_setup(waiting, begin),
	        cmocka_unit_test_setup(check, begin),
	        cmocka_unit_test_setup(limit, begin),
	        cmocka_unit_test_setup(without_http, begin),
	        cmocka_unit_test_setup(large_numbers, begin),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
