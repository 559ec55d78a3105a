/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <reuseportd/response_abi.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/latency_baseline.h"

/* The bucket of a time in milliseconds. */
#define MS(time) response_bucket((uint64_t)((time)*1e6))

static uint64_t new[RESPONSE_BUCKETS], old[RESPONSE_BUCKETS];
static struct latency_baseline baseline;
static struct verdict_pair pair;

static int begin(void **context)
{
	memset(new, 0, sizeof(new));
	memset(old, 0, sizeof(old));
	return 0;
}

static void count(void)
{
	latency_baseline_count(&baseline, new, old, &pair);
}

static void assert_pair(uint64_t new_n, uint64_t new_bad, uint64_t old_n, uint64_t old_bad)
{
	assert_int_equal(pair.new.n, new_n);
	assert_int_equal(pair.new.bad, new_bad);
	assert_int_equal(pair.old.n, old_n);
	assert_int_equal(pair.old.bad, old_bad);
}

/* Nothing is counted until the old version has enough samples; the new version has no say. */
static void enough_samples(void **context)
{
	static const struct {
		unsigned int percent, samples;
	} quantiles[] = {{50, 20}, {90, 100}, {99, 1000}};

	for (unsigned int i = 0; i < ARRAY_SIZE(quantiles); i++) {
		const unsigned int n = quantiles[i].samples;

		assert_int_equal(latency_baseline_samples(quantiles[i].percent), n);
		latency_baseline_begin(&baseline, quantiles[i].percent, 150);
		memset(old, 0, sizeof(old));
		new[MS(50)] += 5000;
		old[MS(10)] = n - 1;
		count();
		assert_false(baseline.frozen);
		assert_pair(0, 0, 0, 0);
		old[MS(10)]++;
		count();
		assert_true(baseline.frozen);
		assert_pair(0, 0, 0, 0);
		new[MS(50)]++;
		old[MS(11)]++;
		old[MS(10)]++;
		count();
		assert_pair(1, 1, 2, 1);
	}
}

/* What is in the quantile's bucket is not slow; and the quantile stays until the next step. */
static void frozen(void **context)
{
	latency_baseline_begin(&baseline, 90, 150);
	old[MS(10)] = 500;
	old[MS(20)] = 400; /* p90 */
	old[MS(30)] = 100;
	count();
	assert_int_equal(baseline.bucket, MS(20));
	new[MS(20)] += 7;
	new[MS(50)] += 3;
	old[MS(99)] += 10000;
	count();
	assert_int_equal(baseline.bucket, MS(20));
	assert_pair(10, 3, 10000, 10000);
	latency_baseline_begin(&baseline, 90, 150);
	count();
	assert_int_equal(baseline.bucket, MS(99));
	assert_pair(0, 0, 0, 0);
}

/* All in one bucket, the first or the last: nothing is slow. */
static void one_bucket(void **context)
{
	for (unsigned int bucket = 0; bucket < RESPONSE_BUCKETS; bucket += RESPONSE_BUCKETS - 1) {
		begin(NULL);
		latency_baseline_begin(&baseline, 99, 150);
		old[bucket] = 1000;
		count();
		assert_int_equal(baseline.bucket, bucket);
		old[bucket] += 10;
		new[bucket] += 10;
		count();
		assert_pair(10, 0, 10, 0);
	}
}

/* The histograms begin at 0 again: both versions are counted from there on. If the old version were
 * counted only from its former total on, all that is slow would be of the new one. */
static void begins_at_zero_again(void **context)
{
	latency_baseline_begin(&baseline, 99, 150);
	old[MS(10)] = 10000;
	new[MS(10)] = 100;
	count();
	old[MS(10)] += 50;
	new[MS(10)] += 5;
	count();
	assert_pair(5, 0, 50, 0);
	begin(NULL);
	count();
	assert_pair(0, 0, 0, 0);
	old[MS(10)] = 900;
	old[MS(20)] = 9;
	new[MS(10)] = 99;
	new[MS(20)] = 1;
	count();
	assert_pair(100, 1, 909, 9);
}

/* A part of the old version's counts is lost. */
static void loses_a_part(void **context)
{
	latency_baseline_begin(&baseline, 50, 150);
	old[MS(10)] = 10000;
	new[MS(10)] = 100;
	count();
	old[MS(10)] -= 5000;
	new[MS(20)] += 7;
	count();
	assert_pair(0, 0, 0, 0);
	old[MS(20)] += 90;
	new[MS(20)] += 10;
	count();
	assert_pair(10, 10, 90, 90);
}

/* Of the samples that it was frozen with, at most its part is above it, and with its bucket more
 * than that is. */
static void quantile(void **context)
{
	static const unsigned int percents[] = {50, 90, 99};

	seed_start("times");
	for (unsigned int run = 0; run < 3000; run++) {
		const unsigned int percent = percents[seed_next(3)];
		uint64_t all = 0, above = 0;

		for (unsigned int i = 0; i < RESPONSE_BUCKETS; i++)
			all += old[i] = seed_next(5) ? seed_next(1 + seed_next(5000)) : 0;
		latency_baseline_begin(&baseline, percent, 150);
		count();
		if (!baseline.frozen) {
			assert_true(all < latency_baseline_samples(percent));
			continue;
		}
		for (unsigned int i = baseline.bucket + 1; i < RESPONSE_BUCKETS; i++)
			above += old[i];
		assert_true(above * 100 <= all * (100 - percent));
		assert_true((above + old[baseline.bucket]) * 100 > all * (100 - percent));
	}
}

/* What the new version is allowed: a factor, and a millisecond, which is all that counts for short
 * times. */
static void tolerated(void **context)
{
	static const struct {
		double quantile, fine, slow; /* ms */
		unsigned int tolerate;
	} times[] = {
	        {0.33, 1.4, 1.7, 150}, {0.33, 1.2, 1.6, 100}, {10, 16, 20, 150},
	        {10, 11, 13, 100},     {100, 150, 190, 150},  {30000, 68000, 70000, 300},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(times); i++) {
		const bool is_longest = i == ARRAY_SIZE(times) - 1; /* a bucket without end */

		begin(NULL);
		latency_baseline_begin(&baseline, 99, times[i].tolerate);
		old[MS(times[i].quantile)] = 1000;
		count();
		new[MS(times[i].fine)] += 7;
		count();
		assert_pair(7, 0, 0, 0);
		new[MS(times[i].slow)] += 5;
		count();
		assert_pair(12, is_longest ? 0 : 5, 0, 0);
	}
}

static void not_a_bucket(void **context)
{
	latency_baseline_begin(&baseline, 99, 150);
	assert_true(latency_baseline_valid(&baseline));
	baseline.bucket = RESPONSE_BUCKETS - 1;
	assert_true(latency_baseline_valid(&baseline));
	baseline.bucket++;
	assert_false(latency_baseline_valid(&baseline));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(enough_samples, begin),
	        cmocka_unit_test_setup(frozen, begin),
	        cmocka_unit_test_setup(one_bucket, begin),
	        cmocka_unit_test_setup(begins_at_zero_again, begin),
	        cmocka_unit_test_setup(loses_a_part, begin),
	        cmocka_unit_test_setup(quantile, begin),
	        cmocka_unit_test_setup(tolerated, begin),
	        cmocka_unit_test_setup(not_a_bucket, begin),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
