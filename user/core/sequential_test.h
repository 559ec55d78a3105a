/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether bad events come from one of two sources more often than its share allows: a sequential
 * test. Its result is valid after each look, however often it is read. Pure.
 *
 * If both sources have the same rate of bad events, each event is of the first with probability
 * pi, its share of the traffic, whatever the traffic does. If the first has r times the rate of
 * the second: p(r) = r pi / (1 - pi + r pi). With T the ratio that is tolerated, the likelihood
 * ratio of r against T is multiplied with each look by
 *
 *	x p(r) / p(T) + (1 - x) (1 - p(r)) / (1 - p(T)),    x = a / (a + b)
 *
 * where a events of the look are of the first source and b of the second. Its expectation is at
 * most 1 as long as the true ratio is at most T. So is that of the evidence, a mean over several r;
 * by Ville's inequality, the evidence ever reaches 1 / alpha with a probability of at most alpha.
 * The share may change from look to look. (Wald 1945; Robbins 1970; Lindon and Malek 2022.)
 *
 * Events come in bursts: a client repeats a request that fails, or a worker collects garbage while
 * ten requests wait. With one event in each look, this is the usual likelihood ratio. But all
 * events of a look together weigh no more than one: however they depend on each other, only the
 * expectation of x matters. Many events make x exact instead, and that is evidence, too.
 *
 * Processes pause one by one, and a source with a small share has short bursts, but may have as
 * many as the other one. So a look with few events weighs less: the ratio above is 1 + w (ratio -
 * 1), with w the events of the look, divided by the most events of a look. Large bursts, which a
 * client can cause, must not hide other events: those of a look in the past count a tenth less with
 * each look, and w is an eighth at least.
 *
 * The mean is also over the look at which the ratio became r. Half of the weight is on the first
 * look; the k-th look after it has weight 1 / (2 k (k + 1)). So a version that was good for a long
 * time, and now leaks, is found soon: the evidence for it does not hide the evidence against it.
 */
#pragma once

#include <stdint.h>

#define SEQUENTIAL_TEST_RATIOS 7 /* r = T x 4/3, 2, 4, ... 64 */

/* All zero: no event yet. To be kept in a file as it is. */
struct sequential_test {
	double parts[SEQUENTIAL_TEST_RATIOS]; /* of the evidence: one for each r */
	uint64_t looks;                       /* with events */
	double most;                          /* events of a look, fading */
};

/* Takes in the events of a look. @share: pi, and @tolerated: T >= 1. A share that is not between 0
 * and 1 can't be compared: nothing changes. */
void sequential_test_look(struct sequential_test *test, double share, double tolerated, uint64_t a,
                          uint64_t b);

/* 1 before the first event; it may grow to infinity. */
double sequential_test_evidence(const struct sequential_test *test);
