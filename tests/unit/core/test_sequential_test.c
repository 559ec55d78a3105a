/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/sequential_test.h"
#include "verdict_bed.h"

#define TABLE_THRESHOLD 1000 /* 1 % and ten signals, as in the table of the design */

/* The probability that an event is of the new version. */
static double of_new(double share, double ratio)
{
	return ratio * share / (1 - share + ratio * share);
}

static double binomial(unsigned int n, unsigned int k, double p)
{
	return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) +
	           (n - k) * log1p(-p));
}

/* The expectation of the evidence after two looks of @n events, by all outcomes. */
static double expectation(double share, double ratio, double tolerated, unsigned int n)
{
	double sum = 0;

	for (unsigned int a = 0; a <= n; a++)
		for (unsigned int b = 0; b <= n; b++) {
			struct sequential_test test = {0};

			sequential_test_look(&test, share, tolerated, a, n - a);
			sequential_test_look(&test, share / 2, tolerated, b, n - b);
			sum += sequential_test_evidence(&test) *
			       binomial(n, a, of_new(share, ratio)) *
			       binomial(n, b, of_new(share / 2, ratio));
		}
	return sum;
}

/* What makes the test valid: at the tolerated ratio the evidence is 1 in expectation, also if the
 * share changes; below it, it is less. */
static void fair_bet(void **context)
{
	seed_start("shares");
	for (unsigned int i = 0; i < 30; i++) {
		const double share = 0.01 + 0.98 * verdict_bed_random();
		const double tolerated = 1 + 2 * verdict_bed_random();
		const unsigned int n = 1 + seed_next(8);

		assert_true(fabs(expectation(share, tolerated, tolerated, n) - 1) < 1e-9);
		assert_true(expectation(share, tolerated * 0.9, tolerated, n) < 1);
		assert_true(expectation(share, tolerated * 1.5, tolerated, n) > 1);
	}
}

/* The likelihood ratio itself, of one event of the new version at half of the traffic: p(r) / p(1)
 * = 2 r / (1 + r). */
static void one_event(void **context)
{
	const double ratios[] = {4.0 / 3, 2, 4, 8, 16, 32, 64};
	struct sequential_test test = {0};
	double mean = 0;

	assert_true(sequential_test_evidence(&test) == 1);
	sequential_test_look(&test, 0.5, 1, 1, 0);
	for (unsigned int i = 0; i < SEQUENTIAL_TEST_RATIOS; i++)
		mean += 2 * ratios[i] / (1 + ratios[i]) / SEQUENTIAL_TEST_RATIOS;
	assert_true(fabs(sequential_test_evidence(&test) - (mean / 2 + 0.5)) < 1e-12);
}

/* A look without an event, and a share that can't be compared, say nothing. */
static void no_evidence(void **context)
{
	struct sequential_test test = {0};

	sequential_test_look(&test, 0.05, 1.5, 0, 0);
	sequential_test_look(&test, 0, 1.5, 3, 4);
	sequential_test_look(&test, 1, 1.5, 3, 4);
	sequential_test_look(&test, NAN, 1.5, 3, 4);
	assert_int_equal(test.looks, 0);
	assert_true(sequential_test_evidence(&test) == 1);
}

/* It is never "not a number", whatever the counts are. */
static void extremes(void **context)
{
	seed_start("counts");
	for (unsigned int i = 0; i < 500; i++) {
		struct sequential_test test = {0};

		for (unsigned int look = 0; look < 100; look++) {
			const uint64_t a = (uint64_t)seed_word() << seed_next(32) >> seed_next(32);
			const uint64_t b = (uint64_t)seed_word() << seed_next(32) >> seed_next(32);

			sequential_test_look(&test, 1e-9 + verdict_bed_random() * 0.999, 1.5, a, b);
			assert_true(sequential_test_evidence(&test) >= 0);
		}
	}
}

/* More errors of the new version, in place of those of the old one, are never less evidence. */
static void monotone(void **context)
{
	seed_start("events");
	for (unsigned int i = 0; i < 2000; i++) {
		const double share = 0.01 + 0.98 * verdict_bed_random();
		const unsigned int n = 1 + seed_next(200), a = seed_next(n);
		struct sequential_test fewer = {0}, more;

		for (unsigned int look = seed_next(5); look; look--)
			sequential_test_look(&fewer, share, 1.5, seed_next(20), seed_next(20));
		more = fewer;
		sequential_test_look(&fewer, share, 1.5, a, n - a);
		sequential_test_look(&more, share, 1.5, a + 1, n - a - 1);
		assert_true(sequential_test_evidence(&more) >= sequential_test_evidence(&fewer));
	}
}

/* Runs of 60 looks, at shares of 5, 25 and 50 %. Returns how many reach 1 / alpha for alpha 1 %. */
static unsigned int false_alarms(double ratio, double tolerated, unsigned int runs)
{
	static const double shares[] = {0.05, 0.25, 0.5};
	unsigned int alarms = 0;

	for (unsigned int run = 0; run < runs; run++) {
		struct sequential_test test = {0};

		for (unsigned int look = 0; look < 60; look++) {
			const double share = shares[look / 20];
			const unsigned int n = seed_between(0, 8);
			const unsigned int a = verdict_bed_draw(n, of_new(share, ratio));

			sequential_test_look(&test, share, tolerated, a, n - a);
			if (sequential_test_evidence(&test) >= 100) {
				alarms++;
				break;
			}
		}
	}
	return alarms;
}

/* The rate is at most 1 % (Ville), and in fact so much less that 10,000 runs stay below 100: some
 * 30, with a standard deviation of 5. With --full, 100,000 runs. */
static void false_alarm_rate(void **context)
{
	const unsigned int runs = verdict_bed_runs(10000, 100000);
	unsigned int equal, tolerated;

	seed_start("events");
	equal = false_alarms(1, 1, runs);
	tolerated = false_alarms(1.5, 1.5, runs);
	print_message(
	        "false alarms at alpha 1 %%, %u runs: %.2f %% with equal rates, %.2f %% with "
	        "all that is tolerated, %.2f %% with equal rates and 1.5 tolerated\n",
	        runs, 100.0 * equal / runs, 100.0 * tolerated / runs,
	        100.0 * false_alarms(1, 1.5, runs) / runs);
	assert_true(equal <= runs / 100);
	assert_true(tolerated <= runs / 100);
	/* It is a test of something: a bound that is never approached would cost power. */
	assert_true(equal >= runs / 1000);
}

/* The number of errors of the new version until the threshold, one in each look, when it has @ratio
 * times the rate of the old one; 0 if it is not found within @most. */
static unsigned int errors_until_found(double share, double ratio, double tolerated,
                                       unsigned int most)
{
	struct sequential_test test = {0};

	for (unsigned int errors = 1; errors <= most; errors++) {
		while (verdict_bed_random() >= of_new(share, ratio))
			sequential_test_look(&test, share, tolerated, 0, 1);
		sequential_test_look(&test, share, tolerated, 1, 0);
		if (sequential_test_evidence(&test) >= TABLE_THRESHOLD)
			return errors;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static unsigned int median(double share, double ratio, double tolerated)
{
	const unsigned int runs = verdict_bed_runs(401, 4001);
	unsigned int errors[4001];

	for (unsigned int i = 0; i < runs; i++) {
		errors[i] = errors_until_found(share, ratio, tolerated, 5000);
		assert_true(errors[i]);
	}
	qsort(errors, runs, sizeof(*errors), compare);
	return errors[runs / 2];
}

/*
 * The table of the design: the errors of the new version until it is found. There, no more than
 * equal rates are tolerated.
 *
 * Tolerance: 25 % and one error. Of 401 runs, the median has a standard error of 4 % (at twice the
 * rate: 1.25 x 26 / sqrt(401) of 44); and half of the weight for changes that begin later costs ln
 * 2 of the ln 1000 that have to be reached, which is 10 %.
 */
static void power(void **context)
{
	static const double ratios[] = {2, 3, 5, 10, 50}, shares[] = {0.05, 0.5};
	static const unsigned int table[2][5] = {{44, 21, 11, 7, 4}, {94, 46, 27, 16, 12}};

	seed_start("events");
	for (unsigned int s = 0; s < 2; s++)
		for (unsigned int r = 0; r < 5; r++) {
			const unsigned int found = median(shares[s], ratios[r], 1);
			const unsigned int usual = median(shares[s], ratios[r], 1.5);

			print_message(
			        "share %2.0f %%, rate x%-2.0f: found after %u errors (table: "
			        "%u), tolerating 1.5 times after %u\n",
			        100 * shares[s], ratios[r], found, table[s][r], usual);
			assert_true(fabs((double)found - table[s][r]) <= 0.25 * table[s][r] + 1);
			/* The tolerance may double what is needed; close to it, it costs more. */
			assert_true(usual <= (r ? 3.5 : 7.5) * table[s][r] + 1);
		}
}

/* A version that is good for long and then gets bad is found about as fast: here, after 40,000
 * errors of both versions, which left evidence of e^-1000 against most ratios. */
static void change_after_long(void **context)
{
	struct sequential_test test = {0};
	unsigned int errors = 0;

	seed_start("events");
	for (unsigned int look = 0; look < 400; look++) {
		const unsigned int a = verdict_bed_draw(100, of_new(0.05, 1));

		sequential_test_look(&test, 0.05, 1.5, a, 100 - a);
	}
	assert_true(sequential_test_evidence(&test) < TABLE_THRESHOLD);
	while (sequential_test_evidence(&test) < TABLE_THRESHOLD && errors < 1000) {
		while (verdict_bed_random() >= of_new(0.05, 10))
			sequential_test_look(&test, 0.05, 1.5, 0, 1);
		sequential_test_look(&test, 0.05, 1.5, 1, 0);
		errors++;
	}
	print_message("rate x10 after 400 good looks: found after %u errors\n", errors);
	assert_true(errors < 60);
}

/* Of bursts of one version, such as three errors of one client or ten requests behind a pause. */
static unsigned int false_alarms_of_bursts(unsigned int size, unsigned int runs)
{
	unsigned int alarms = 0;

	for (unsigned int run = 0; run < runs; run++) {
		struct sequential_test test = {0};

		for (unsigned int look = 0; look < 100; look++) {
			unsigned int events[2] = {0};

			for (unsigned int burst = seed_next(6); burst; burst--)
				events[verdict_bed_random() < 0.05] += 1 + seed_next(2 * size);
			sequential_test_look(&test, 0.05, 1, events[1], events[0]);
			if (sequential_test_evidence(&test) >= 100) {
				alarms++;
				break;
			}
		}
	}
	return alarms;
}

/* Events that are not independent make no more false alarms. */
static void bursts(void **context)
{
	const unsigned int runs = verdict_bed_runs(5000, 50000);

	seed_start("bursts");
	for (unsigned int size = 1; size <= 100; size *= 10) {
		const unsigned int alarms = false_alarms_of_bursts(size, runs);

		print_message("bursts of up to %u events: %.2f %% false alarms at alpha 1 %%\n",
		              2 * size, 100.0 * alarms / runs);
		assert_true(alarms <= runs / 100);
	}
}

/* Five processes with pauses of a tenth of a second, each at its own time, once in ten looks. One
 * of them is the new version: it has 20 % of the pauses, and 5 % of the requests that wait. */
static unsigned int false_alarms_of_pauses(unsigned int requests, unsigned int runs)
{
	const unsigned int each[] = {requests / 20, requests * 19 / 80};
	unsigned int alarms = 0;

	for (unsigned int run = 0; run < runs; run++) {
		struct sequential_test test = {0};
		unsigned int pauses[5];

		for (unsigned int i = 0; i < 5; i++)
			pauses[i] = seed_next(10);
		for (unsigned int look = 0; look < 300; look++) {
			unsigned int events[2] = {0};

			for (unsigned int i = 0; i < 5; i++)
				if (look % 10 == pauses[i])
					events[i > 0] += verdict_bed_draw(each[i > 0], 0.1);
			sequential_test_look(&test, 0.05, 1, events[0], events[1]);
			if (sequential_test_evidence(&test) >= 100) {
				alarms++;
				break;
			}
		}
	}
	return alarms;
}

/* Nor do they if the small share has more than its share of the bursts, each with fewer events. */
static void pauses(void **context)
{
	const unsigned int runs = verdict_bed_runs(1000, 10000);

	seed_start("pauses");
	for (unsigned int requests = 100; requests <= 1600; requests *= 4) {
		const unsigned int alarms = false_alarms_of_pauses(requests, runs);

		print_message("pauses, %u requests a look: %.2f %% false alarms at alpha 1 %%\n",
		              requests, 100.0 * alarms / runs);
		assert_true(alarms <= runs / 100);
	}
}

/* Where there are many events in each look, twice the rate is found within some looks. */
static void many_events(void **context)
{
	struct sequential_test test = {0};

	seed_start("events");
	while (sequential_test_evidence(&test) < TABLE_THRESHOLD && test.looks < 1000) {
		const unsigned int a = verdict_bed_draw(10000, of_new(0.05, 2));

		sequential_test_look(&test, 0.05, 1.5, a, 10000 - a);
	}
	print_message("rate x2 with 10,000 errors a look: found after %u looks\n",
	              (unsigned int)test.looks);
	assert_true(test.looks < 100);
	/* But not what is tolerated. */
	test = (struct sequential_test){0};
	for (unsigned int look = 0; look < 500; look++) {
		const unsigned int a = verdict_bed_draw(1000, of_new(0.05, 1.4));

		sequential_test_look(&test, 0.05, 1.5, a, 1000 - a);
		assert_true(sequential_test_evidence(&test) < TABLE_THRESHOLD);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fair_bet),    cmocka_unit_test(one_event),
	        cmocka_unit_test(no_evidence), cmocka_unit_test(extremes),
	        cmocka_unit_test(monotone),    cmocka_unit_test(false_alarm_rate),
	        cmocka_unit_test(power),       cmocka_unit_test(change_after_long),
	        cmocka_unit_test(bursts),      cmocka_unit_test(pauses),
	        cmocka_unit_test(many_events),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
