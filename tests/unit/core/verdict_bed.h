/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of core/verdict: the default rules, random events, and a deployment with random
 * traffic of given rates. */
#pragma once

#include <stdbool.h>

#include <reuseportd/response_abi.h>

#include "core/latency_baseline.h"
#include "core/verdict.h"

/* As in struct deploy_settings: 1.5 times, 99 %, 100 samples, no limit, no check. Responses are
 * counted. */
extern const struct verdict_rules verdict_bed_rules;

/* More runs with tools/test --full. */
unsigned int verdict_bed_runs(unsigned int few, unsigned int many);

/* At least 0, less than 1. */
double verdict_bed_random(void);

/* How many of @n come out, each with @probability. */
unsigned int verdict_bed_draw(unsigned int n, double probability);

/* Adds to the counts of a signal. */
void verdict_bed_add(struct verdict_pair *pair, unsigned int new_n, unsigned int new_bad,
                     unsigned int old_n, unsigned int old_bad);

/* What the traffic of a version is like. */
struct verdict_bed_version {
	double resets, unanswered, errors; /* rates */
	double slow, slower_us;            /* so many of the responses take so much longer */
	double times;                      /* all of them take so many times as long */
	double tail; /* none takes longer than p99, and the slowest tenth so many times as long */
};

/* The state of a deployment with the traffic of two versions: what a caller of verdict.h keeps. */
struct verdict_bed_deployment {
	struct verdict_bed_version new, old;
	unsigned int connections; /* of a look, with a response each */
	unsigned int requests;    /* of the new version, so far */
	struct verdict_state state;
	struct verdict_counts counts;
	struct latency_baseline baselines[3];
	uint64_t new_times[RESPONSE_BUCKETS], old_times[RESPONSE_BUCKETS];
};

void verdict_bed_begin(struct verdict_bed_deployment *d, const struct verdict_bed_version *new,
                       const struct verdict_bed_version *old, unsigned int connections);

/* The traffic of a look. The ring is exact: the new version gets its share, up to one connection.
 */
void verdict_bed_traffic(struct verdict_bed_deployment *d, unsigned int permille);

/* What came before is not judged. */
void verdict_bed_begin_step(struct verdict_bed_deployment *d, unsigned int permille);

/* The traffic of a look, and the look. */
enum verdict_answer verdict_bed_look(struct verdict_bed_deployment *d, unsigned int permille,
                                     enum verdict_time time);

/* A step of so many looks. Returns the answer that ended it early, or that of its end. */
enum verdict_answer verdict_bed_step(struct verdict_bed_deployment *d, unsigned int permille,
                                     unsigned int looks);
