/* SPDX-License-Identifier: BSD-2-Clause */
/* What a new version is judged by: one row for each signal. Pure. */
#pragma once

#include <stdbool.h>

/* Stored in struct verdict_state: a change needs another VERDICT_STATE_VERSION. */
enum verdict_signal {
	/* Once is too often: no statistic. */
	VERDICT_CHECK, /* `check` found the version bad (exit status 1) */

	/* Errors: compared with the old version, and with max-error-rate. */
	VERDICT_RESETS,     /* connections that the worker has reset */
	VERDICT_UNANSWERED, /* requests without a response, RESPONSE_LATE_TICKS after they came */
	VERDICT_HTTP_5XX,   /* responses with status 500 to 599 */

	/* Latency, the wait in the accept queue included: compared with the old version.
	 * latency_baseline.h counts what is slow. */
	VERDICT_SLOW_P50, /* by the median of the old version */
	VERDICT_SLOW_P90, /* ... of what is slower than nine in ten of its responses */
	VERDICT_SLOW_P99, /* ... than 99 in a hundred */
	VERDICT_SIGNAL_MAX,
};

struct verdict_signal_row {
	const char *name; /* in JSON: "http-5xx" */
	const char *text; /* for people: "responses 5xx" */
	const char *unit; /* what is counted: "responses" */
	bool immediate;   /* bad at once */
	bool error;       /* max-error-rate is about it */
	bool time;        /* slow responses: latency_baseline.h has what is tolerated of them */
	bool http;        /* is seen only while HTTP responses are counted */
};

/* The row of a signal. */
const struct verdict_signal_row *verdict_signal(enum verdict_signal signal);

/* How many signals are statistics, or of these only the errors. @http: responses are counted. */
unsigned int verdict_signal_count(bool only_errors, bool http);
