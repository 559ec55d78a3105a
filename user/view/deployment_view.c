/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/deployment_view.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "view/screen_pen.h"
#include "view/table.h"
#include "view/wrap.h"

#define BAR_WIDTH 40
#define ROW_AT    8 /* the column of the text of a row that has a title */

bool deployment_view_is(struct json_object *of, const char *key, const char *text)
{
	const char *is = json_read_text(of, key);

	return is && strcmp(is, text) == 0;
}

bool deployment_view_has_ended(struct json_object *deployment)
{
	return json_read_text(deployment, "outcome");
}

bool deployment_view_waits(struct json_object *deployment)
{
	return deployment_view_is(deployment, "phase", "paused");
}

bool deployment_view_is_current(struct json_object *deployment)
{
	return !deployment_view_has_ended(deployment) ||
	       json_read_real(deployment, "held_until") > clock_s(CLOCK_REALTIME);
}

/* --- texts */

/* 42s, 3m 20s or 2h 5m. Returns @buf. */
static const char *deployment_view_format_time(double seconds, char *buf, size_t size)
{
	const long s = seconds > 0 ? (long)(seconds + 0.5) : 0;

	if (s < 60)
		snprintf(buf, size, "%lds", s);
	else if (s < 3600)
		snprintf(buf, size, s % 60 ? "%ldm %lds" : "%ldm", s / 60, s % 60);
	else
		snprintf(buf, size, s / 60 % 60 ? "%ldh %ldm" : "%ldh", s / 3600, s / 60 % 60);
	return buf;
}

/* "1 of 4", or "starting". */
static void deployment_view_print_step(FILE *out, struct json_object *d)
{
	const int64_t step = json_read_number(d, "step");

	if (step == 0)
		fputs("starting", out);
	else
		fprintf(out, "step %" PRId64 " of %zu", step, json_read_length(d, "steps"));
}

/* Whether the workers that are held after the end are those of the new version. */
static bool deployment_view_holds_new(struct json_object *d)
{
	return deployment_view_is(d, "outcome", "aborted") ||
	       deployment_view_is(d, "outcome", "failed");
}

/* When the step, the pause or the time of the held workers is over. */
static void deployment_view_print_left(FILE *out, struct json_object *d)
{
	const double now = clock_s(CLOCK_REALTIME), ends = json_read_real(d, "step_ends_at");
	const double held = json_read_real(d, "held_until");
	const char *gate = json_read_text(d, "gate");
	char text[32];

	if (deployment_view_waits(d))
		fputs(", waits for `promote` or `abort`", out);
	else if (gate)
		fprintf(out, ", asks the gate before the %s", gate);
	else if (!deployment_view_has_ended(d) && ends > 0)
		fprintf(out,
		        ends > now ? ", %s left" : ", its time is over: it waits for more samples",
		        deployment_view_format_time(ends - now, text, sizeof(text)));
	else if (held > now)
		fprintf(out, "; the workers of %s are held for %s more",
		        json_read_text(d, deployment_view_holds_new(d) ? "new" : "old"),
		        deployment_view_format_time(held - now, text, sizeof(text)));
}

static void deployment_view_print_head(FILE *out, struct json_object *d)
{
	const char *outcome = json_read_text(d, "outcome");

	fprintf(out, "%s: %s from %s to %s: ", json_read_text(d, "service"),
	        json_read_text(d, "strategy"), json_read_text(d, "old"), json_read_text(d, "new"));
	if (outcome)
		fputs(outcome, out);
	else
		deployment_view_print_step(out, d);
}

static void deployment_view_print_share(FILE *out, struct json_object *d)
{
	fprintf(out, "%s has %.1f %% of new connections (%" PRId64 " of %" PRId64 " workers)",
	        json_read_text(d, "new"), json_read_real(d, "share"),
	        json_read_number(d, "workers"), json_read_number(d, "of"));
}

static void deployment_view_print_reason(FILE *out, struct json_object *d)
{
	const char *reason = json_read_text(d, "reason");

	if (reason && reason[0])
		fprintf(out, "; %s", reason);
}

const char *deployment_view_format(struct json_object *d, char *buf, size_t size)
{
	const char *outcome = json_read_text(d, "outcome");

	snprintf(buf, size, "%s to %s: %s, %.1f %%", json_read_text(d, "strategy"),
	         json_read_text(d, "new"), outcome ? outcome : json_read_text(d, "phase"),
	         json_read_real(d, "share"));
	return buf;
}

/* --- the signals */

static void deployment_view_add_counts(struct json_object *row, const char *key,
                                       struct json_object *counts)
{
	char text[64];

	snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64, json_read_number(counts, "bad"),
	         json_read_number(counts, "n"));
	json_build_text(row, key, text);
}

static void deployment_view_format_evidence(struct json_object *value, char *buf, size_t size)
{
	const double evidence = json_object_get_double(value);

	if (evidence >= 1e6)
		snprintf(buf, size, "%.0e", evidence);
	else
		snprintf(buf, size, evidence < 10 ? "%.1f" : "%.0f", evidence);
}

static const struct table_column signal_columns[] = {
        {"SIGNAL", "name"},
        {"NEW", "new"},
        {"OLD", "old"},
        {"EVIDENCE", "evidence", NULL, deployment_view_format_evidence},
        {"BAD FROM", "threshold", NULL, deployment_view_format_evidence},
        {"VERDICT", "verdict"},
};

static void deployment_view_print_signals(FILE *out, struct json_object *d)
{
	struct json_object *rows = json_build_new_array(), *signals = json_read_value(d, "signals");
	const size_t n = json_read_length(d, "signals");

	for (size_t i = 0; i < n; i++) {
		struct json_object *signal = json_object_array_get_idx(signals, i);
		struct json_object *row = json_build_row(rows);

		json_build_text(row, "name", json_read_text(signal, "name"));
		deployment_view_add_counts(row, "new", json_read_value(signal, "new"));
		deployment_view_add_counts(row, "old", json_read_value(signal, "old"));
		json_build_real(row, "evidence", json_read_real(signal, "evidence"));
		json_build_real(row, "threshold", json_read_real(signal, "threshold"));
		json_build_text(row, "verdict", json_read_text(signal, "verdict"));
	}
	if (n) {
		fputc('\n', out);
		table_print(out, rows, signal_columns, ARRAY_SIZE(signal_columns));
	}
	json_object_put(rows);
}

/* --- the steps */

static void deployment_view_print_steps(FILE *out, struct json_object *d)
{
	struct json_object *steps = json_read_value(d, "steps");
	const int64_t at = json_read_number(d, "step");

	for (size_t i = 0; i < json_read_length(d, "steps"); i++) {
		struct json_object *step = json_object_array_get_idx(steps, i);
		struct json_object *seconds = json_read_value(step, "seconds");
		char text[32] = "pause";

		if (seconds)
			deployment_view_format_time(json_object_get_double(seconds), text,
			                            sizeof(text));
		if (seconds && json_object_get_double(seconds) == 0)
			text[0] = '\0';
		fprintf(out, "%s%s%g%%%s%s%s", i ? ", " : "", (int64_t)i + 1 == at ? "[" : "",
		        json_read_real(step, "share"), text[0] ? " " : "", text,
		        (int64_t)i + 1 == at ? "]" : "");
	}
}

/* --- the whole */

static void deployment_view_print_summary(FILE *out, struct json_object *d)
{
	deployment_view_print_head(out, d);
	deployment_view_print_left(out, d);
}

/* What @print prints. */
static char *deployment_view_new_text(void (*print)(FILE *, struct json_object *),
                                      struct json_object *d)
{
	char *text;
	size_t size;
	FILE *out = memory_need(open_memstream(&text, &size));

	print(out, d);
	return memory_need(memory_close_text(out, &text));
}

/* Prints @text in lines of 80 columns; the first one begins at column @at, the others at @indent.
 * Lines that a worker has printed are in it with escaped ends. */
static void deployment_view_print_lines(FILE *out, const char *text, int at, int indent)
{
	for (const char *end;; text = end + 2, at = fprintf(out, "%*s", indent, "")) {
		_cleanup_free_ char *line = NULL;

		end = strstr(text, "\\n");
		line = memory_need(end ? strndup(text, (size_t)(end - text)) : strdup(text));
		wrap_print(out, line, at, indent);
		if (!end || !end[2])
			return;
	}
}

static void deployment_view_print_row(FILE *out, const char *title, const char *text)
{
	fprintf(out, "  %-*s", ROW_AT - 2, title);
	deployment_view_print_lines(out, text, ROW_AT, ROW_AT);
}

void deployment_view_draw(FILE *out, struct json_object *d, bool utf8)
{
	struct screen_pen pen = {.out = out, .rows = 1, .columns = 80, .row = 1, .left = 80};
	_cleanup_free_ char *summary = deployment_view_new_text(deployment_view_print_summary, d);
	_cleanup_free_ char *steps = deployment_view_new_text(deployment_view_print_steps, d);
	const char *reason = json_read_text(d, "reason");

	wrap_print(out, summary, 0, 2);
	fputs("  share [", out);
	screen_pen_bar(&pen, BAR_WIDTH, json_read_real(d, "share") / 100, utf8);
	fprintf(out, "] %.1f %% (%" PRId64 " of %" PRId64 " workers)\n", json_read_real(d, "share"),
	        json_read_number(d, "workers"), json_read_number(d, "of"));
	if (json_read_length(d, "steps") > 1)
		deployment_view_print_row(out, "steps", steps);
	if (reason && *reason)
		deployment_view_print_row(out, "why", reason);
	deployment_view_print_signals(out, d);
}

void deployment_view_print(FILE *out, struct json_object *deployment)
{
	deployment_view_draw(out, deployment, false);
}

static void deployment_view_print_all(FILE *out, struct json_object *d)
{
	deployment_view_print_head(out, d);
	fputs(": ", out);
	deployment_view_print_share(out, d);
	deployment_view_print_left(out, d);
	deployment_view_print_reason(out, d);
}

void deployment_view_print_line(FILE *out, struct json_object *deployment)
{
	deployment_view_print_all(out, deployment);
	fputc('\n', out);
}

void deployment_view_print_wrapped(FILE *out, struct json_object *deployment)
{
	_cleanup_free_ char *text = deployment_view_new_text(deployment_view_print_all, deployment);

	deployment_view_print_lines(out, text, 0, 2);
}

bool deployment_view_has_news(struct json_object *d, struct json_object *before)
{
	static const char *const texts[] = {"phase", "outcome", "verdict", "gate"};
	static const char *const numbers[] = {"id", "step", "workers"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *now = json_read_text(d, texts[i]);
		const char *then = json_read_text(before, texts[i]);

		if (!now != !then || (now && strcmp(now, then) != 0))
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (json_read_number(d, numbers[i]) != json_read_number(before, numbers[i]))
			return true;
	return !before || json_read_real(d, "share") != json_read_real(before, "share");
}

/* --- the history */

static void deployment_view_format_when(struct json_object *value, char *buf, size_t size)
{
	const time_t seconds = json_object_get_int64(value);
	struct tm tm;

	strftime(buf, size, "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &tm));
}

static void deployment_view_format_seconds(struct json_object *value, char *buf, size_t size)
{
	deployment_view_format_time(json_object_get_double(value), buf, size);
}

static const struct table_column history_columns[] = {
        {"BEGAN", "began_at", NULL, deployment_view_format_when},
        {"TOOK", "seconds", NULL, deployment_view_format_seconds},
        {"STRATEGY", "strategy"},
        {"OLD", "old"},
        {"NEW", "new"},
        {"OUTCOME", "outcome"},
};

void deployment_view_print_history(FILE *out, struct json_object *deployments)
{
	if (json_object_array_length(deployments) == 0) {
		fputs("no deployment has ended yet\n", out);
		return;
	}
	table_print(out, deployments, history_columns, ARRAY_SIZE(history_columns));
	for (size_t i = 0; i < json_object_array_length(deployments); i++) {
		struct json_object *d = json_object_array_get_idx(deployments, i);
		const char *reason = json_read_text(d, "reason");

		if (!deployment_view_is(d, "outcome", "promoted") && reason && reason[0])
			deployment_view_print_lines(
			        out, reason, fprintf(out, "%s: ", json_read_text(d, "new")), 2);
	}
}
