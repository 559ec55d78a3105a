/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/verdict_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VERDICT_TEXT_NUMBER_MAX 32

struct verdict_text_number {
	char text[VERDICT_TEXT_NUMBER_MAX];
};

/* "9,100" */
static struct verdict_text_number verdict_text_number(uint64_t value)
{
	struct verdict_text_number ret;
	char digits[24];
	const size_t n = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value);
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			ret.text[at++] = ',';
		ret.text[at++] = digits[i];
	}
	ret.text[at] = 0;
	return ret;
}

#define NUMBER(value) (verdict_text_number(value).text)

__attribute__((format(printf, 2, 3))) static void verdict_text_add(char text[VERDICT_TEXT_MAX],
                                                                   const char *format, ...)
{
	const size_t n = strlen(text);
	va_list list;

	va_start(list, format);
	vsnprintf(text + n, VERDICT_TEXT_MAX - n, format, list);
	va_end(list);
}

/* "12 of 480 (new)" */
static void verdict_text_add_count(char text[VERDICT_TEXT_MAX], const struct verdict_count *count,
                                   const char *version)
{
	verdict_text_add(text, "%s of %s (%s)", NUMBER(count->bad), NUMBER(count->n), version);
}

static void verdict_text_add_limit(char text[VERDICT_TEXT_MAX], const struct verdict_state *state,
                                   const char *how)
{
	verdict_text_add(text, "%s max-error-rate %u.%u%%", how, state->rules.max_error_rate / 10,
	                 state->rules.max_error_rate % 10);
}

void verdict_text_signal(const struct verdict_state *state, enum verdict_signal signal,
                         char ret[VERDICT_TEXT_MAX])
{
	const struct verdict_report report = verdict_report(state, signal);

	ret[0] = 0;
	verdict_text_add(ret, "%s", verdict_signal(signal)->text);
	if (verdict_signal(signal)->time)
		verdict_text_add(ret, " (new: x %u.%u + 1 ms)", state->rules.tolerate / 100,
		                 state->rules.tolerate / 10 % 10);
	verdict_text_add(ret, ": ");
	if (verdict_signal(signal)->immediate) {
		verdict_text_add(ret, "%s (new)", NUMBER(report.new.bad));
		return;
	}
	if (!report.new.n && !report.old.n) {
		verdict_text_add(ret, "not seen");
		return;
	}
	verdict_text_add_count(ret, &report.new, "new");
	verdict_text_add(ret, ", ");
	verdict_text_add_count(ret, &report.old, "old");
	if (report.evidence < VERDICT_SUSPICION)
		verdict_text_add(ret, ": evidence %.1f of %s", report.evidence,
		                 NUMBER((uint64_t)report.threshold));
	else
		verdict_text_add(ret, ": evidence %s of %s", NUMBER((uint64_t)report.evidence),
		                 NUMBER((uint64_t)report.threshold));
	if (report.by_limit)
		verdict_text_add_limit(ret, state, " against");
}

static bool verdict_text_http_is_unseen(const struct verdict_state *state)
{
	const struct verdict_pair *responses = &state->of[VERDICT_HTTP_5XX].total;

	return state->rules.http && !responses->new.n && !responses->old.n &&
	       state->of[VERDICT_RESETS].total.new.n;
}

static void verdict_text_add_few(char ret[VERDICT_TEXT_MAX], const struct verdict_state *state,
                                 uint64_t n, const char *version)
{
	verdict_text_add(ret, "%s of %s %s of the %s version in this step", NUMBER(n),
	                 NUMBER(state->rules.min_samples), verdict_signal(state->signal)->unit,
	                 version);
}

void verdict_text(const struct verdict_state *state, char ret[VERDICT_TEXT_MAX])
{
	const struct verdict_pair *step = &state->of[state->signal].step;
	const char *unit = verdict_signal(state->signal)->unit;

	ret[0] = 0;
	switch (state->reason) {
	case VERDICT_BECAUSE_TIME:
		verdict_text_add(ret, "%s %s of the new version so far in this step",
		                 NUMBER(step->new.n), unit);
		break;
	case VERDICT_BECAUSE_GOOD:
		verdict_text_add(ret, "%s %s of the new version in this step, nothing against it",
		                 NUMBER(step->new.n), unit);
		break;
	case VERDICT_BECAUSE_NO_TRAFFIC:
		verdict_text_add(ret, "the new version got no connection in this step");
		break;
	case VERDICT_BECAUSE_FEW_NEW:
		verdict_text_add_few(ret, state, step->new.n, "new");
		break;
	case VERDICT_BECAUSE_FEW_OLD:
		verdict_text_add_few(ret, state, step->old.n, "old");
		verdict_text_add(ret, ": not enough to compare with");
		break;
	case VERDICT_BECAUSE_CHECK:
		verdict_text_add(ret, "the check has not found the new version good in this step");
		break;
	case VERDICT_BECAUSE_UNSEEN:
		verdict_text_add(ret,
		                 "no %s of the new version were seen in this step, but %s of "
		                 "the old version",
		                 unit, NUMBER(step->old.n));
		break;
	case VERDICT_BECAUSE_LIMIT:
		verdict_text_signal(state, state->signal, ret);
		if (!verdict_report(state, state->signal).by_limit)
			verdict_text_add_limit(ret, state, ", above");
		break;
	default:
		verdict_text_signal(state, state->signal, ret);
		break;
	}
	if (verdict_text_http_is_unseen(state))
		verdict_text_add(ret,
		                 "; no HTTP was seen (TLS or HTTP/2 hide it): judged by the "
		                 "rest");
}
