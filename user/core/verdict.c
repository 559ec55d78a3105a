/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/verdict.h"

#include <math.h>
#include <string.h>

void verdict_begin(struct verdict_state *state, const struct verdict_rules *rules)
{
	memset(state, 0, sizeof(*state));
	state->version = VERDICT_STATE_VERSION;
	state->size = sizeof(*state);
	state->rules = *rules;
}

/* --- counts */

static void verdict_add(struct verdict_count *sum, const struct verdict_count *more)
{
	sum->n += more->n;
	sum->bad += more->bad;
}

bool verdict_fell(const struct verdict_count *now, const struct verdict_count *seen)
{
	return now->n < seen->n || now->bad < seen->bad;
}

struct verdict_count verdict_without(const struct verdict_count *count,
                                     const struct verdict_count *part)
{
	return (struct verdict_count){
	        .n = count->n > part->n ? count->n - part->n : 0,
	        .bad = count->bad > part->bad ? count->bad - part->bad : 0,
	};
}

/* Adds what came since the last look to the sums, and returns it. */
static struct verdict_pair verdict_take(struct verdict_evidence *of, const struct verdict_pair *now)
{
	const struct verdict_pair seen = of->seen;
	struct verdict_pair more = {0};

	of->seen = *now;
	if (verdict_fell(&now->new, &seen.new) || verdict_fell(&now->old, &seen.old))
		return more;
	more.new = verdict_without(&now->new, &seen.new);
	more.old = verdict_without(&now->old, &seen.old);
	verdict_add(&of->step.new, &more.new);
	verdict_add(&of->step.old, &more.old);
	verdict_add(&of->total.new, &more.new);
	verdict_add(&of->total.old, &more.old);
	return more;
}

/*
 * The share of a signal's traffic that is the new version's. Of connections, the ring's share is
 * exact. Of responses it is only an expectation: one of ten connections that are kept alive, at a
 * share of 5 %, has a tenth of all requests and so of all errors. The larger share makes the lesser
 * evidence. But a client that floods the new version must not hide its errors: a connection to the
 * new version counts as at most VERDICT_BUSIER times as busy as one to the old version.
 */
#define VERDICT_BUSIER 4

static double verdict_share(const struct verdict_state *state, const struct verdict_pair *step)
{
	const double share = state->permille / 1000.0;
	const double n = (double)step->new.n + (double)step->old.n;
	const double counted = n > 0 ? (double)step->new.n / n : 0;
	const double most = VERDICT_BUSIER * share / (VERDICT_BUSIER * share + 1 - share);

	if (counted <= share)
		return share;
	return counted < most ? counted : most;
}

void verdict_step(struct verdict_state *state, unsigned int permille,
                  const struct verdict_counts *now)
{
	if (state->answer == VERDICT_BAD)
		return;
	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		struct verdict_evidence *of = &state->of[i];

		if (verdict_signal(i)->immediate)
			verdict_take(of, &now->of[i]);
		of->seen = now->of[i];
		of->step = (struct verdict_pair){0};
	}
	state->permille = permille;
	state->answer = VERDICT_NOT_YET;
	state->reason = VERDICT_BECAUSE_TIME;
}

/* --- evidence */

/* Bonferroni: each test gets an equal part of the false alarms that the user allows. */
static double verdict_threshold(const struct verdict_rules *rules)
{
	const unsigned int limits =
	        rules->max_error_rate ? verdict_signal_count(true, rules->http) : 0;

	return (verdict_signal_count(false, rules->http) + limits) * 1000.0 /
	       (1000 - rules->confidence);
}

static enum verdict_answer verdict_of_signal(const struct verdict_state *state,
                                             enum verdict_signal signal,
                                             const struct verdict_report *report)
{
	const struct verdict_pair *total = &state->of[signal].total;

	if (verdict_signal(signal)->immediate ? total->new.bad > 0
	                                      : report->evidence >= report->threshold)
		return VERDICT_BAD;
	if (report->evidence >= VERDICT_SUSPICION)
		return VERDICT_INCONCLUSIVE;
	if (!total->new.n && !verdict_signal(signal)->immediate)
		return VERDICT_NO_TRAFFIC;
	return VERDICT_GOOD;
}

struct verdict_report verdict_report(const struct verdict_state *state, enum verdict_signal signal)
{
	const struct verdict_evidence *of = &state->of[signal];
	struct verdict_report report = {.new = of->total.new, .old = of->total.old};

	if (!verdict_signal(signal)->immediate) {
		const double relative = sequential_test_evidence(&of->test);
		const double limit = sequential_test_evidence(&of->limit);

		report.by_limit = limit > 1 && limit > relative;
		report.evidence = report.by_limit ? limit : relative;
		report.threshold = verdict_threshold(&state->rules);
	}
	report.answer = verdict_of_signal(state, signal, &report);
	return report;
}

/* --- the decision */

static enum verdict_answer verdict_say(struct verdict_state *state, enum verdict_answer answer,
                                       enum verdict_reason reason, enum verdict_signal signal)
{
	state->answer = answer;
	state->reason = reason;
	state->signal = signal;
	return answer;
}

/* The reason of the signal with the most evidence of one kind, VERDICT_BAD or VERDICT_INCONCLUSIVE;
 * false if there is none. An immediate one goes before all. */
static bool verdict_find(struct verdict_state *state, enum verdict_answer answer)
{
	double most = -1;

	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		const struct verdict_report report = verdict_report(state, i);
		const double evidence = verdict_signal(i)->immediate ? INFINITY : report.evidence;

		if (report.answer != answer || evidence <= most)
			continue;
		most = evidence;
		verdict_say(state, answer,
		            verdict_signal(i)->immediate ? VERDICT_BECAUSE_IMMEDIATE
		            : report.by_limit            ? VERDICT_BECAUSE_LIMIT
		                                         : VERDICT_BECAUSE_EVIDENCE,
		            i);
	}
	return most >= 0;
}

/* The signal that has the most samples of the step: requests or responses, or else connections. */
static enum verdict_signal verdict_most_samples(const struct verdict_state *state)
{
	enum verdict_signal most = VERDICT_RESETS;

	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++)
		if (!verdict_signal(i)->immediate &&
		    state->of[i].step.new.n > state->of[most].step.new.n)
			most = i;
	return most;
}

/* Whether as many samples of the new version are missing as would be enough for all. */
static bool verdict_is_unseen(const struct verdict_state *state, enum verdict_signal signal)
{
	const struct verdict_pair *step = &state->of[signal].step;
	const double share = state->permille / 1000.0;

	return !verdict_signal(signal)->immediate && state->permille < 1000 && !step->new.n &&
	       (double)step->old.n / (1 - share) * share >= state->rules.min_samples;
}

static bool verdict_is_above_limit(const struct verdict_state *state, enum verdict_signal signal)
{
	const struct verdict_count *step = &state->of[signal].step.new;

	return state->rules.max_error_rate && verdict_signal(signal)->error &&
	       (double)step->bad * 1000 > (double)step->n * state->rules.max_error_rate;
}

/* Whether most samples of the new version are bad, and few of the old one. A look weighs all its
 * bad events as one, so a short step may have too few looks for evidence of that. */
static bool verdict_is_mostly_bad(const struct verdict_state *state, enum verdict_signal signal)
{
	const struct verdict_pair *step = &state->of[signal].step;

	return !verdict_signal(signal)->immediate && step->new.bad * 2 > step->new.n &&
	       step->old.bad * 4 < step->old.n;
}

/* What one signal has against a good step, though there is no evidence of it. */
static bool verdict_find_flaw(struct verdict_state *state, enum verdict_signal signal)
{
	if (verdict_is_unseen(state, signal))
		verdict_say(state, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_UNSEEN, signal);
	else if (verdict_is_above_limit(state, signal))
		verdict_say(state, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_LIMIT, signal);
	else if (verdict_is_mostly_bad(state, signal))
		verdict_say(state, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_EVIDENCE, signal);
	else
		return false;
	return true;
}

/* What keeps the step from being good; false if nothing does. */
static bool verdict_find_doubt(struct verdict_state *state)
{
	const enum verdict_signal most = verdict_most_samples(state);
	const struct verdict_pair *step = &state->of[most].step;

	if (step->new.n < state->rules.min_samples)
		verdict_say(state, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_FEW_NEW, most);
	else if (step->old.n < state->rules.min_samples && state->permille < 1000)
		verdict_say(state, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_FEW_OLD, most);
	else if (state->rules.check && !state->of[VERDICT_CHECK].step.new.n)
		verdict_say(state, VERDICT_INCONCLUSIVE, VERDICT_BECAUSE_CHECK, VERDICT_CHECK);
	else {
		for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++)
			if (verdict_find_flaw(state, i))
				return true;
		return verdict_find(state, VERDICT_INCONCLUSIVE);
	}
	return true;
}

static enum verdict_answer verdict_decide(struct verdict_state *state, enum verdict_time time)
{
	const enum verdict_signal most = verdict_most_samples(state);

	if (verdict_find(state, VERDICT_BAD))
		return VERDICT_BAD;
	if (time == VERDICT_EARLY)
		return verdict_say(state, VERDICT_NOT_YET, VERDICT_BECAUSE_TIME, most);
	if (!state->of[most].step.new.n)
		return verdict_say(state, VERDICT_NO_TRAFFIC, VERDICT_BECAUSE_NO_TRAFFIC, most);
	if (!verdict_find_doubt(state))
		return verdict_say(state, VERDICT_GOOD, VERDICT_BECAUSE_GOOD, most);
	if (time == VERDICT_TIME_OVER)
		state->answer = VERDICT_NOT_YET;
	return state->answer;
}

/* The rate of errors against max-error-rate is the same test: the errors are one source, the rest
 * is the other, and the share is the limit. */
static void verdict_look_at_limit(const struct verdict_state *state, struct verdict_evidence *of,
                                  const struct verdict_count *more)
{
	sequential_test_look(&of->limit, state->rules.max_error_rate / 1000.0, 1, more->bad,
	                     more->n > more->bad ? more->n - more->bad : 0);
}

/* By how much the rate of bad events may be above that of the old version. What is slow allows for
 * that already (latency_baseline.h). */
static double verdict_tolerated(const struct verdict_state *state, enum verdict_signal signal)
{
	return verdict_signal(signal)->time ? 1 : state->rules.tolerate / 100.0;
}

enum verdict_answer verdict_look(struct verdict_state *state, const struct verdict_counts *now,
                                 enum verdict_time time)
{
	if (state->answer == VERDICT_BAD)
		return VERDICT_BAD;
	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		struct verdict_evidence *of = &state->of[i];
		const struct verdict_pair more = verdict_take(of, &now->of[i]);

		sequential_test_look(&of->test, verdict_share(state, &of->step),
		                     verdict_tolerated(state, i), more.new.bad, more.old.bad);
		if (verdict_signal(i)->error)
			verdict_look_at_limit(state, of, &more.new);
	}
	return verdict_decide(state, time);
}

/* --- state and names */

/* No test has more evidence: it ends far below, with VERDICT_BAD. */
static bool verdict_test_valid(const struct sequential_test *test)
{
	for (unsigned int i = 0; i < SEQUENTIAL_TEST_RATIOS; i++)
		if (!(test->parts[i] >= 0 && test->parts[i] < 1e15))
			return false;
	return test->most >= 0 && test->most < 1e20; /* the sum of two numbers of 64 bits */
}

bool verdict_valid(const void *bytes, size_t n)
{
	struct verdict_state state;

	if (n != sizeof(state))
		return false;
	memcpy(&state, bytes, sizeof(state));
	if (state.version != VERDICT_STATE_VERSION || state.size != sizeof(state) ||
	    state.rules.tolerate < 100 || state.rules.confidence < 1 ||
	    state.rules.confidence > 999 || state.rules.max_error_rate > 999 ||
	    state.permille > 1000 || state.answer >= VERDICT_ANSWER_MAX ||
	    state.reason >= VERDICT_REASON_MAX || state.signal >= VERDICT_SIGNAL_MAX)
		return false;
	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++)
		if (!verdict_test_valid(&state.of[i].test) ||
		    !verdict_test_valid(&state.of[i].limit))
			return false;
	return true;
}

const char *verdict_answer_name(enum verdict_answer answer)
{
	static const char *const names[VERDICT_ANSWER_MAX] = {
	        [VERDICT_NOT_YET] = "not-yet",
	        [VERDICT_GOOD] = "good",
	        [VERDICT_BAD] = "bad",
	        [VERDICT_INCONCLUSIVE] = "inconclusive",
	        [VERDICT_NO_TRAFFIC] = "no-traffic",
	};

	return names[answer];
}
