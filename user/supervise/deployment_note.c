/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_note.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "kern/file_read.h"
#include "service/deployment_file.h"
#include "service/run_dir.h"
#include "supervise/report.h"

#define HISTORY_MAX 20

/* --- for people */

static const char *deployment_note_phase(const struct deployment *it)
{
	switch (it->outcome) {
	case DEPLOYMENT_UNDER_WAY:
		return it->halt == ROLLOUT_GOES_ON ? "progressing" : "paused";
	case DEPLOYMENT_PROMOTED:
	case DEPLOYMENT_ROLLED_BACK:
		return it->unasked ? "degraded" : "healthy";
	default:
		return "degraded";
	}
}

static const char *deployment_note_verdict(const struct deployment *it)
{
	static const char *const names[] = {
	        [ROLLOUT_UNKNOWN] = "not-yet",
	        [ROLLOUT_NO_TRAFFIC] = "no-traffic",
	        [ROLLOUT_GOOD] = "good",
	        [ROLLOUT_BAD] = "bad",
	};
	const struct rollout_step *step = it->step ? &it->steps[it->step - 1] : NULL;

	if (it->halt == ROLLOUT_HALT_INCONCLUSIVE)
		return "inconclusive";
	/* Of a deployment that has ended: of its last judged step. */
	return it->judgement >= ROLLOUT_GOOD || (step && step->judged) ? names[it->judgement]
	                                                               : NULL;
}

/* Seconds; null if it is not known. */
static void deployment_note_time(struct json_object *to, const char *key, int64_t ns)
{
	json_build_value(to, key, ns ? json_object_new_double((double)ns / NS_PER_S) : NULL);
}

static void deployment_note_steps(struct json_object *view, const struct deployment *it)
{
	struct json_object *list = json_build_array(view, "steps");

	for (size_t i = 0; i < it->n_steps; i++) {
		const struct rollout_step *step = &it->steps[i];
		struct json_object *row = json_build_row(list);

		json_build_real(row, "share", deployment_state_step_share(it, step));
		json_build_number(row, "workers", step->n_slots);
		json_build_value(row, "seconds",
		                 step->pauses
		                         ? NULL
		                         : json_object_new_double((double)step->time / NS_PER_S));
	}
}

static void deployment_note_count(struct json_object *row, const char *key,
                                  const struct verdict_count *count)
{
	struct json_object *to = json_build_new_object();

	json_build_number(to, "n", (int64_t)count->n);
	json_build_number(to, "bad", (int64_t)count->bad);
	json_object_object_add(row, key, to);
}

static void deployment_note_signals(struct json_object *view, const struct deployment *it)
{
	struct json_object *list = json_build_array(view, "signals");

	for (enum verdict_signal signal = 0; signal < VERDICT_SIGNAL_MAX; signal++) {
		const struct verdict_report report = verdict_report(&it->verdict, signal);
		struct json_object *row;

		if (!it->judged_step || !(report.new.n || report.old.n || report.new.bad))
			continue;
		row = json_build_row(list);
		json_build_text(row, "name", verdict_signal(signal)->name);
		deployment_note_count(row, "new", &report.new);
		deployment_note_count(row, "old", &report.old);
		json_build_real(row, "evidence", report.evidence);
		json_build_real(row, "threshold", report.threshold);
		json_build_text(row, "verdict", verdict_answer_name(report.answer));
	}
}

static void deployment_note_times(struct json_object *view, const struct deployment *it)
{
	const struct rollout_step *step = it->step ? &it->steps[it->step - 1] : NULL;
	const int64_t end = it->ended_at ? it->ended_at : clock_ns(CLOCK_REALTIME);
	const bool timed =
	        step && !step->pauses && step->time && !it->ended_at && it->halt == ROLLOUT_GOES_ON;

	deployment_note_time(view, "began_at", it->began_at);
	deployment_note_time(view, "step_began_at", it->step_began_at);
	deployment_note_time(view, "step_ends_at", timed ? it->step_began_at + step->time : 0);
	deployment_note_time(view, "ended_at", it->ended_at);
	json_build_real(view, "seconds", (double)(end - it->began_at) / NS_PER_S);
	deployment_note_time(view, "held_until", it->held_until == INT64_MAX ? 0 : it->held_until);
}

/* Whether the service has, or is to have, another version than before. */
static bool deployment_note_is_change(const struct deployment *it)
{
	return it->outcome != DEPLOYMENT_ABORTED && it->outcome != DEPLOYMENT_FAILED;
}

struct json_object *deployment_note_new_view(const struct supervisor *sup,
                                             const struct deployment *it)
{
	struct json_object *view = json_build_new_object();

	json_build_number(view, "id", it->id);
	json_build_text(view, "service", sup->name);
	json_build_text(view, "strategy", deploy_settings_strategy_name(it->settings.strategy));
	json_build_text(view, "phase", deployment_note_phase(it));
	json_build_text(view, "outcome", deployment_outcome_name(it->outcome));
	json_build_flag(view, "changed", deployment_note_is_change(it));
	json_build_text(view, "old", it->old_label);
	json_build_text(view, "new", it->label);
	json_build_number(view, "step", (int64_t)it->step);
	deployment_note_steps(view, it);
	json_build_real(view, "share", deployment_state_share(it));
	json_build_number(view, "workers", it->n_new);
	json_build_number(view, "of", (int64_t)it->slots.n);
	deployment_note_times(view, it);
	json_build_text(view, "gate", it->gate_about);
	json_build_text(view, "reason", it->reason);
	json_build_text(view, "verdict", deployment_note_verdict(it));
	deployment_note_signals(view, it);
	return view;
}

/* --- for the next supervisor */

/* In hexadecimal digits: plain data of this program. */
static void deployment_note_bytes(struct json_object *to, const char *key, const void *data,
                                  size_t n)
{
	char text[2 * sizeof(struct verdict_state) + 1];

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", ((const unsigned char *)data)[i]);
	json_object_object_add(to, key, json_object_new_string(text));
}

/* How many deployments of the service have ended, by outcome. */
static void deployment_note_ended(struct json_object *to, const struct supervisor *sup)
{
	struct json_object *ended = json_build_object(to, "ended");

	for (enum deployment_outcome_kind i = DEPLOYMENT_PROMOTED; i < DEPLOYMENT_OUTCOME_MAX; i++)
		json_build_number(ended, deployment_outcome_name(i),
		                  (int64_t)sup->deployments_ended[i]);
}

static struct json_object *deployment_note_new_file(const struct supervisor *sup,
                                                    const struct deployment *it)
{
	struct json_object *file = deployment_note_new_view(sup, it);
	struct json_object *state = json_build_object(file, "state");

	json_build_words(state, "argv", it->plan->config.argv);
	json_build_words(state, "old_argv", it->old->config.argv);
	json_build_words(state, "settings", it->words ? it->words : (char *[]){NULL});
	json_build_numbers(state, "slots", it->slots.at, it->slots.n);
	json_build_number(state, "n_slots_before", it->n_slots_before);
	json_build_flag(state, "goes_back", it->goes_back);
	json_build_flag(state, "returns", it->returns);
	json_build_flag(state, "unasked", it->unasked);
	json_build_flag(state, "is_asked", it->is_asked);
	json_build_flag(state, "is_passed", it->is_passed);
	json_build_flag(state, "is_full", it->is_full);
	json_build_number(state, "begun", (int64_t)it->begun);
	json_build_flag(state, "for_ever", it->held_until == INT64_MAX);
	json_build_number(state, "halt", it->halt);
	json_build_number(state, "judgement", it->judgement);
	json_build_number(state, "judged_step", (int64_t)it->judged_step);
	deployment_note_ended(state, sup);
	deployment_note_time(state, "looked_at", it->looked_at);
	deployment_note_bytes(state, "evidence", &it->verdict, sizeof(it->verdict));
	deployment_note_bytes(state, "latency", it->latency, sizeof(it->latency));
	return file;
}

/* --- files */

static void deployment_note_replace(struct supervisor *sup, const char *name, const char *text)
{
	int r = run_dir_write(sup->name, name, text);

	if (r < 0)
		report_line(sup,
		            "can't write %s/%s: %s; the next supervisor would not know of the "
		            "deployment",
		            sup->run_dir, name, strerror(-r));
}

/* json-c's own text, because the words of a command need not be UTF-8. Belongs to @file. */
static const char *deployment_note_text(struct json_object *file)
{
	return memory_need((char *)json_object_to_json_string_ext(file, JSON_C_TO_STRING_PLAIN));
}

void deployment_note_write(struct supervisor *sup)
{
	struct json_object *file = deployment_note_new_file(sup, sup->deployment);

	deployment_note_replace(sup, DEPLOYMENT_FILE, deployment_note_text(file));
	json_object_put(file);
}

/* The part of @text with the last @n lines. */
static const char *deployment_note_last_lines(const char *text, size_t n)
{
	const char *at = text + strlen(text);

	while (at > text) {
		if (at[-1] == '\n' && at[0] && n-- == 0)
			break;
		at--;
	}
	return at;
}

/* Cuts the last line off if it is of that deployment: a supervisor was killed at its end. */
static void deployment_note_cut_own(char *text, int64_t id)
{
	const char *last = deployment_note_last_lines(text, 0);
	struct json_object *row = json_tokener_parse(last);

	if (json_read_number(row, "id") == id)
		text[last - text] = '\0';
	json_object_put(row);
}

void deployment_note_add_to_history(struct supervisor *sup)
{
	struct json_object *file = deployment_note_new_file(sup, sup->deployment);
	_cleanup_free_ char *before = NULL, *text = NULL;
	const char *line = deployment_note_text(file);
	char path[PATH_MAX];

	run_dir_path(sup->name, DEPLOYMENT_FILE_HISTORY, path, sizeof(path));
	if (file_read(path, DEPLOYMENT_FILE_MAX / 2, &before, NULL, NULL) >= 0)
		deployment_note_cut_own(before, sup->deployment->id);
	if (asprintf(&text, "%s%s\n",
	             before ? deployment_note_last_lines(before, HISTORY_MAX - 2) : "", line) >= 0)
		deployment_note_replace(sup, DEPLOYMENT_FILE_HISTORY, text);
	else
		text = NULL;
	json_object_put(file);
}

void deployment_note_forget(const struct supervisor *sup)
{
	run_dir_unlink(sup->name, DEPLOYMENT_FILE);
	run_dir_unlink(sup->name, DEPLOYMENT_FILE_HISTORY);
}
