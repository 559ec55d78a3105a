/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges a new version by what happens to its connections, compared with the old version. Pure: no
 * kernel, no clock, no allocation. The caller reads the counts, and acts on the answer.
 *
 *	struct verdict_state state;
 *
 *	verdict_begin(&state, &rules);                  the deployment begins
 *	for each step
 *		verdict_step(&state, permille, &counts); its share is in force, its warm-up over
 *		every second or so
 *			answer = verdict_look(&state, &counts, time);
 *	verdict_text.h has the sentences, verdict_report() the numbers.
 *
 * The counts of a look are running totals of both versions, as counters in the kernel are; from
 * where they begin does not matter. What came before verdict_step() is not judged, except signals
 * that are immediate. If a counter falls, it was set to 0: that look is left out. To be fair, both
 * versions count only connections that were opened since the step began, without the supervisor's
 * probes and without the addresses to be ignored. If connections are not counted, or the table is
 * full, make no look.
 *
 * Errors come in bursts. All errors of one look and signal weigh at most as one: so a look should
 * last longer than a burst, but short looks find a bad version sooner. On a busy machine, the
 * workers of one version may be slow for a second. Then looks that follow each other at once, as
 * when supervisors are killed and restarted, would find the same burst again and again.
 *
 * Clients that keep connections alive may send the new version more than its share of requests, and
 * so of errors. Up to four times as many a connection as the old version gets are no evidence; if
 * it gets more, it needs a lower rate of errors to be as good.
 *
 * The answer BAD is final: the state stays as it was when it was decided. GOOD is about the step.
 * sequential_test.h has the statistic, latency_baseline.h decides what is slow.
 *
 * After a restart with a state from a file, go on with verdict_look(), and with verdict_step() only
 * if the share has changed. Responses that are not seen (TLS, HTTP/2) have counts of 0: then the
 * other signals decide, and verdict_text() says so if the rules have `http`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/sequential_test.h"
#include "core/verdict_signal.h"

/* The units are those of struct deploy_settings. */
struct verdict_rules {
	uint32_t tolerate;       /* percent of the old version's rate: 150; at least 100. Of times,
	                            too: latency_baseline.h */
	uint32_t confidence;     /* permille: 990; 1..999 */
	uint32_t min_samples;    /* connections, requests or responses of the new version, in each
	                            step: 100 */
	uint32_t max_error_rate; /* permille, 1..999; 0 = no limit */
	uint32_t check; /* 1: a step is good only if `check` has found it good (VERDICT_CHECK) */
	uint32_t http; /* 1: responses are counted. If not, the signals that need it don't raise the
	                  threshold; if there are none, the text says so */
};

/* Of one version and signal. Of an immediate signal only `bad` counts, except that `n` of
 * VERDICT_CHECK is the number of times that `check` could say good or bad. */
struct verdict_count {
	uint64_t n;   /* connections, requests or responses */
	uint64_t bad; /* of them */
};

/* @count without @part, and never below 0: a part may be counted where its whole is not, or no
 * longer. */
struct verdict_count verdict_without(const struct verdict_count *count,
                                     const struct verdict_count *part);

/* Whether a counter was set to 0 since @seen. */
bool verdict_fell(const struct verdict_count *now, const struct verdict_count *seen);

/* All zero: not seen, such as responses without HTTP, or latency before there is a baseline. */
struct verdict_pair {
	struct verdict_count new, old;
};

struct verdict_counts {
	struct verdict_pair of[VERDICT_SIGNAL_MAX];
};

enum verdict_answer {
	VERDICT_NOT_YET,
	VERDICT_GOOD,
	VERDICT_BAD,
	VERDICT_INCONCLUSIVE,
	VERDICT_NO_TRAFFIC, /* the step's time is over, and the new version got no connection */
	VERDICT_ANSWER_MAX,
};

/* Why. For the last signals of the list, state.signal is the one that decided. */
enum verdict_reason {
	VERDICT_BECAUSE_TIME, /* the step's time is not over */
	VERDICT_BECAUSE_GOOD,
	VERDICT_BECAUSE_NO_TRAFFIC,
	VERDICT_BECAUSE_FEW_NEW,   /* less than min-samples of the new version in this step */
	VERDICT_BECAUSE_FEW_OLD,   /* ... of the old version: nothing to compare with */
	VERDICT_BECAUSE_CHECK,     /* `check` has not found it good yet */
	VERDICT_BECAUSE_IMMEDIATE, /* it happened */
	/* Against the old version: bad, or (inconclusive) suspicious, or most of this step are bad.
	 */
	VERDICT_BECAUSE_EVIDENCE,
	VERDICT_BECAUSE_LIMIT,  /* above max-error-rate: for sure, or (inconclusive) as counted */
	VERDICT_BECAUSE_UNSEEN, /* the old version has it, the new version has none at all */
	VERDICT_REASON_MAX,
};

/* Where the step is. VERDICT_LATE: the deadline is over, too. */
enum verdict_time { VERDICT_EARLY, VERDICT_TIME_OVER, VERDICT_LATE };

/* Evidence from which on a step is not good yet, though not bad. */
#define VERDICT_SUSPICION 10.0

struct verdict_evidence {
	struct verdict_pair seen;     /* at the last look */
	struct verdict_pair step;     /* since the step began */
	struct verdict_pair total;    /* since the deployment began: what the evidence is about */
	struct sequential_test test;  /* against the old version */
	struct sequential_test limit; /* against max-error-rate */
};

/*
 * All that a judgement knows: plain data without pointers, to be kept in a file as it is, so that
 * the next supervisor goes on. sizeof(struct verdict_state) bytes, some 1.7 kB, of this machine's
 * byte order. A file from elsewhere: verdict_valid().
 */
#define VERDICT_STATE_VERSION 4

struct verdict_state {
	uint32_t version; /* VERDICT_STATE_VERSION */
	uint32_t size;    /* of this structure */
	struct verdict_rules rules;
	uint32_t permille; /* the new version's share of connections */
	uint32_t answer;   /* enum verdict_answer of the last look, with: */
	uint32_t reason;   /* enum verdict_reason */
	uint32_t signal;   /* enum verdict_signal */
	struct verdict_evidence of[VERDICT_SIGNAL_MAX];
};

/* Begins a deployment. */
void verdict_begin(struct verdict_state *state, const struct verdict_rules *rules);

/*
 * Begins a step, or follows a change of the share in the middle of one. What was counted up to
 * @now is not judged. @permille: the exact share of connections that the new version gets, 1..1000
 * (at 1000 there is nothing to compare with: only immediate signals and max-error-rate decide).
 */
void verdict_step(struct verdict_state *state, unsigned int permille,
                  const struct verdict_counts *now);

/* Takes the counts in, and decides. */
enum verdict_answer verdict_look(struct verdict_state *state, const struct verdict_counts *now,
                                 enum verdict_time time);

/* "good", "bad", "inconclusive", "no-traffic" or "not-yet". */
const char *verdict_answer_name(enum verdict_answer answer);

/* What is known of one signal. */
struct verdict_report {
	struct verdict_count new, old; /* since the deployment began, what was judged of it */
	double evidence;               /* 0 without a statistic */
	double threshold;              /* bad from there on; 0 without a statistic */
	bool by_limit; /* the evidence is against max-error-rate, not against the old version */
	/* BAD; INCONCLUSIVE (suspicious); GOOD (nothing against it); NO_TRAFFIC (not seen) */
	enum verdict_answer answer;
};

struct verdict_report verdict_report(const struct verdict_state *state, enum verdict_signal signal);

/* Whether @bytes, read from a file, are a state that this program can go on with. */
bool verdict_valid(const void *bytes, size_t n);
