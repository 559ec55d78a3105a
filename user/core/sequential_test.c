/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/sequential_test.h"

#include <math.h>

/* The ratios that are tested, as multiples of the tolerated ratio. */
static const double sequential_test_ratios[SEQUENTIAL_TEST_RATIOS] = {
        4.0 / 3, 2, 4, 8, 16, 32, 64,
};

/* log(exp(a) + exp(b)), where exp() alone would overflow, or be 0. */
static double sequential_test_log_sum(double a, double b)
{
	return fmax(a, b) + log1p(exp(-fabs(a - b)));
}

/* The weight of a change of the ratio in the next look. */
static double sequential_test_weight(uint64_t looks)
{
	return looks ? 0.5 / ((double)looks * ((double)looks + 1)) : 0.5;
}

void sequential_test_look(struct sequential_test *test, double share, double tolerated, uint64_t a,
                          uint64_t b)
{
	const double part = (double)a / ((double)a + (double)b);
	const double begins = log(sequential_test_weight(test->looks));

	if ((!a && !b) || !(share > 0 && share < 1))
		return;
	for (unsigned int i = 0; i < SEQUENTIAL_TEST_RATIOS; i++) {
		const double multiple = sequential_test_ratios[i], ratio = multiple * tolerated;
		/* (1 - p(r)) / (1 - p(T)); and p(r) / p(T) is r / T times as much. */
		const double other = (1 - share + tolerated * share) / (1 - share + ratio * share);

		test->log[i] = test->looks ? sequential_test_log_sum(test->log[i], begins) : begins;
		test->log[i] += log(other * (1 - part + multiple * part));
	}
	test->looks++;
}

double sequential_test_log_evidence(const struct sequential_test *test)
{
	double sum = -INFINITY;

	if (!test->looks)
		return 0;
	for (unsigned int i = 0; i < SEQUENTIAL_TEST_RATIOS; i++)
		sum = sum == -INFINITY ? test->log[i] : sequential_test_log_sum(sum, test->log[i]);
	/* What is left of the weight is on looks that are still to come: their part is 1 times it.
	 */
	return sequential_test_log_sum(sum - log(SEQUENTIAL_TEST_RATIOS),
	                               log(0.5 / (double)test->looks));
}
