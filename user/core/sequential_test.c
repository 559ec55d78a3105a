/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/sequential_test.h"

/* The ratios that are tested, as multiples of the tolerated ratio. */
static const double sequential_test_ratios[SEQUENTIAL_TEST_RATIOS] = {
        4.0 / 3, 2, 4, 8, 16, 32, 64,
};

#define SEQUENTIAL_TEST_FADES 0.9   /* so much is left of the most events, with each look */
#define SEQUENTIAL_TEST_LEAST 0.125 /* a look weighs that much at least */

/* The weight of a change of the ratio in the next look. */
static double sequential_test_weight(uint64_t looks)
{
	return looks ? 0.5 / ((double)looks * ((double)looks + 1)) : 0.5;
}

void sequential_test_look(struct sequential_test *test, double share, double tolerated, uint64_t a,
                          uint64_t b)
{
	const double n = (double)a + (double)b;
	double x, weight;

	if ((!a && !b) || !(share > 0 && share < 1))
		return;
	x = (double)a / n;
	test->most *= SEQUENTIAL_TEST_FADES;
	if (test->most < n)
		test->most = n;
	weight = n / test->most;
	if (weight < SEQUENTIAL_TEST_LEAST)
		weight = SEQUENTIAL_TEST_LEAST;
	for (unsigned int i = 0; i < SEQUENTIAL_TEST_RATIOS; i++) {
		const double multiple = sequential_test_ratios[i], ratio = multiple * tolerated;
		/* (1 - p(r)) / (1 - p(T)); and p(r) / p(T) is r / T times as much. */
		const double other = (1 - share + tolerated * share) / (1 - share + ratio * share);

		test->parts[i] += sequential_test_weight(test->looks);
		test->parts[i] *= 1 + weight * (other * (1 - x + multiple * x) - 1);
	}
	test->looks++;
}

double sequential_test_evidence(const struct sequential_test *test)
{
	double sum = 0;

	if (!test->looks)
		return 1;
	for (unsigned int i = 0; i < SEQUENTIAL_TEST_RATIOS; i++)
		sum += test->parts[i];
	/* The rest of the weight is on looks that are still to come: the evidence of each is 1. */
	return sum / SEQUENTIAL_TEST_RATIOS + 0.5 / (double)test->looks;
}
