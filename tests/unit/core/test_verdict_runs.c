/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole deployments with random traffic: what is found, how soon, and what is not. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "verdict_bed.h"

#define CONNECTIONS 300 /* in each look */

static const struct verdict_bed_version fine = {.errors = 0.001};

/* What has become of a number of deployments. */
struct outcome {
	unsigned int bad, bad_in_first; /* aborted; in the first step */
	unsigned int good;              /* each step was good when its time was over */
	double requests;                /* of the new version until it was aborted, on average */
};

/* Steps of 5 %, 25 % and 50 %; the first one has @looks looks, the others have half as many more.
 */
static void deploy(const struct verdict_bed_version *new, const struct verdict_bed_version *old,
                   unsigned int looks, struct outcome *outcome)
{
	static const unsigned int shares[] = {50, 250, 500};
	struct verdict_bed_deployment d;
	bool good = true;

	verdict_bed_begin(&d, new, old, CONNECTIONS);
	for (unsigned int i = 0; i < ARRAY_SIZE(shares); i++) {
		const enum verdict_answer answer =
		        verdict_bed_step(&d, shares[i], i ? looks * 3 / 2 : looks);

		good &= answer == VERDICT_GOOD;
		if (answer == VERDICT_BAD) {
			outcome->bad++;
			outcome->bad_in_first += i == 0;
			outcome->requests += d.requests;
			break;
		}
	}
	outcome->good += good;
}

static struct outcome deploy_all(const struct verdict_bed_version *new,
                                 const struct verdict_bed_version *old, unsigned int looks,
                                 unsigned int runs, const char *what)
{
	struct outcome outcome = {0};

	for (unsigned int run = 0; run < runs; run++)
		deploy(new, old, looks, &outcome);
	print_message("%s: %u of %u aborted, %u of them at 5 %%; %u good in each step\n", what,
	              outcome.bad, runs, outcome.bad_in_first, outcome.good);
	if (outcome.bad) {
		outcome.requests /= outcome.bad;
		print_message("\taborted after %.0f requests of the new version\n",
		              outcome.requests);
	}
	return outcome;
}

/*
 * A version that is no worse, or as bad as is tolerated: at most 1 % are aborted, over the whole
 * deployment and with all signals. With --full, 10,000 runs each. Of 400 runs at 1 %, more than 8
 * are aborted with a probability of 2 %; in fact the rate is some 0.2 %.
 */
static void false_alarms(void **context)
{
	static const struct verdict_bed_version usual = {0.01, 0.005, 0.02};
	static const struct verdict_bed_version tolerated = {0.015, 0.0075, 0.03, .times = 1.5};
	/* Times from 0.33 ms on; a cold version takes as much again for each response. */
	static const struct verdict_bed_version warm = {.errors = 0.001, .times = 0.33};
	struct verdict_bed_version cold = warm;
	const unsigned int runs = verdict_bed_runs(400, 10000);
	struct outcome outcome;

	seed_start("traffic");
	outcome = deploy_all(&usual, &usual, 20, runs, "2 % errors, as before");
	assert_true(outcome.bad <= verdict_bed_runs(8, 100));
	assert_true(outcome.good >= runs * 95 / 100);
	outcome = deploy_all(&tolerated, &usual, 20, runs,
	                     "3 % errors, 2 % before; 1.5 times as slow");
	assert_true(outcome.bad <= verdict_bed_runs(8, 100));
	cold.slow = 1;
	cold.slower_us = 330;
	outcome = deploy_all(&cold, &warm, 120, runs, "0.66 ms at least, 0.33 ms before");
	assert_true(outcome.bad <= verdict_bed_runs(8, 100));
}

/* Bad versions are found in each run; those with a limit of requests at 5 %, within 120 looks: two
 * minutes, with a look each second. Slow ones are found in 95 % of the runs at least. */
static void bad_versions(void **context)
{
	static const struct {
		struct verdict_bed_version version;
		const char *what;
		unsigned int soon; /* so many requests at most, on average; 0: later */
	} bad[] = {
	        {{.errors = 0.02}, "responds 500 to 2 %, 0.1 % before", 700},
	        {{.resets = 0.01, .errors = 0.001}, "resets 1 %", 1000},
	        {{.unanswered = 0.05, .errors = 0.001}, "leaves 5 % without an answer", 200},
	        {{.times = 5, .errors = 0.001}, "5 times slower", 300},
	        {{.slow = 0.02, .slower_us = 500000, .errors = 0.001},
	         "2 % are 0.5 s slower: 5 "
	         "times slower at p99"},
	        {{.slow = 0.02, .slower_us = 1e6, .errors = 0.001}, "2 % are 1 s slower"},
	};
	const unsigned int runs = verdict_bed_runs(20, 200);

	seed_start("traffic");
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct outcome outcome =
		        deploy_all(&bad[i].version, &fine, 120, runs, bad[i].what);

		assert_true(outcome.bad >= runs * 95 / 100);
		if (bad[i].soon) {
			assert_int_equal(outcome.bad_in_first, runs);
			assert_true(outcome.requests < bad[i].soon);
		}
	}
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/*
 * The bad versions of tests/e2e/test_deploy_judged.py, at a share of 5 % and with as many requests
 * a second. In all but one of 10,000 runs, the new version gets at most @most requests until it is
 * aborted. Of 300 runs, two exceed that with a probability of less than 1 in 1,000; of 20,000
 * (--full), seven.
 */
static void requests_until_aborted(void **context)
{
	static const struct {
		const char *what;
		struct verdict_bed_version new, old;
		unsigned int connections, most;
	} faults[] = {
	        {"2 % errors, 0.1 % before", {.errors = 0.02}, {.errors = 0.001}, 400, 2400},
	        {"5 times slower at p99", {.tail = 5}, {.tail = 1}, 400, 2600},
	        {"1 % resets", {.resets = 0.01}, {.resets = 0}, 2000, 2200},
	};
	const unsigned int runs = verdict_bed_runs(300, 20000);
	unsigned int requests[20000];

	seed_start("traffic");
	for (unsigned int i = 0; i < ARRAY_SIZE(faults); i++) {
		unsigned int more = 0;

		for (unsigned int run = 0; run < runs; run++) {
			struct verdict_bed_deployment d;

			verdict_bed_begin(&d, &faults[i].new, &faults[i].old,
			                  faults[i].connections);
			assert_int_equal(verdict_bed_step(&d, 50, 600), VERDICT_BAD);
			requests[run] = d.requests;
			more += d.requests > faults[i].most;
		}
		qsort(requests, runs, sizeof(*requests), compare);
		print_message(
		        "%s: aborted after %u requests (median), %u (99 %%), at most %u; "
		        "more than %u in %u of %u runs\n",
		        faults[i].what, requests[runs / 2], requests[runs * 99 / 100],
		        requests[runs - 1], faults[i].most, more, runs);
		assert_true(more <= verdict_bed_runs(1, 6));
	}
}

/* It gets bad after the first step was good: the second one finds it. */
static void bad_later(void **context)
{
	seed_start("traffic");
	for (unsigned int run = 0; run < 20; run++) {
		struct verdict_bed_deployment d;

		verdict_bed_begin(&d, &fine, &fine, CONNECTIONS);
		assert_int_equal(verdict_bed_step(&d, 50, 120), VERDICT_GOOD);
		d.new.times = 5;
		assert_int_equal(verdict_bed_step(&d, 250, 40), VERDICT_BAD);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(false_alarms),
	        cmocka_unit_test(bad_versions),
	        cmocka_unit_test(requests_until_aborted),
	        cmocka_unit_test(bad_later),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
