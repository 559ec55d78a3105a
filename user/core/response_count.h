/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counts of HTTP responses of a worker or a version: sums, and quantiles of the time to first
 * byte, which is the time from the last packet of a request to the first packet of its response.
 * Pure. <reuseportd/response_abi.h> describes the classes and the buckets of times.
 */
#pragma once

#include <stdint.h>
#include <reuseportd/response_abi.h>

/* What is counted of one generation of a slot. */
struct response_row {
	struct rpd_responses responses;
	struct rpd_requests requests;
};

/* All zero = none. */
struct response_count {
	uint64_t of[RESPONSE_CLASS_MAX]; /* by class; RESPONSE_UNKNOWN: the status is not known */
	uint64_t time_ns;                /* the sum of the times */
	uint64_t times[RESPONSE_BUCKETS];
	uint64_t asked;      /* requests */
	uint64_t unanswered; /* requests without a response in time */
};

/* The name of a class: "unknown", "1xx" ... "5xx". */
const char *response_count_class(unsigned int class);

/* Takes the counts of a row. @now: CLOCK_MONOTONIC, ns. */
struct response_count response_count_of(const struct response_row *row, int64_t now);

/* The requests of a row that have had no response in time; RESPONSE_COUNT_EVER: and never will. */
#define RESPONSE_COUNT_EVER INT64_MAX
uint64_t response_count_unanswered(const struct rpd_requests *row, int64_t now);

/* The cumulative histogram that is shown: RESPONSE_STEPS bounds, one an octave, from 131 us to 68.7
 * s. response_count_below() is the number of times below bound @step, which is 2^N ns. */
#define RESPONSE_STEP_FIRST_LOG 17
#define RESPONSE_STEPS          (RESPONSE_LONGEST_LOG - RESPONSE_STEP_FIRST_LOG + 1)
uint64_t response_count_bound_ns(unsigned int step);
uint64_t response_count_below(const struct response_count *count, unsigned int step);

/* Adds @other to @count. */
void response_count_add(struct response_count *count, const struct response_count *other);

/* All responses, those of unknown status included, but without interim ones (1xx); and those of
 * known status alone. */
uint64_t response_count_final(const struct response_count *count);
uint64_t response_count_known(const struct response_count *count);

/* How many times there are, and how many are at least the floor of @bucket (0..RESPONSE_BUCKETS).
 */
uint64_t response_count_timed(const struct response_count *count);
uint64_t response_count_slower(const struct response_count *count, unsigned int bucket);

/* The bucket that has quantile @permille of the times (500: the median); -1 if there are none. */
int response_count_quantile_bucket(const struct response_count *count, unsigned int permille);

/* The quantile in nanoseconds: the end of its bucket, at most 12.5 % too much; 0 if there are no
 * times. */
uint64_t response_count_quantile(const struct response_count *count, unsigned int permille);
