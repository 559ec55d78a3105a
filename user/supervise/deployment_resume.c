/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_resume.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_read.h"
#include "config/deploy_option.h"
#include "core/request.h"
#include "core/schedule_version.h"
#include "service/deployment_file.h"
#include "supervise/deployment.h"
#include "supervise/deployment_evidence.h"
#include "supervise/deployment_hold.h"
#include "supervise/deployment_judge.h"
#include "supervise/deployment_slot.h"
#include "supervise/deployment_state.h"
#include "supervise/plan.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"

/* --- from the file */

static int64_t deployment_resume_time(struct json_object *file, const char *key)
{
	return (int64_t)(json_read_real(file, key) * NS_PER_S);
}

static int deployment_resume_label(struct json_object *file, const char *key,
                                   char ret[RPD_LABEL_MAX])
{
	const char *label = json_read_text(file, key);

	if (!label || !schedule_version_is_label(label))
		return -EINVAL;
	strcpy(ret, label); /* its length was checked */
	return 0;
}

/* A plan like the one in force, with the command and the label of a version. */
static int deployment_resume_plan(const struct supervisor *sup, struct json_object *argv,
                                  const char *label, struct plan **ret)
{
	struct plan *plan = plan_new(&sup->plan->config);
	char **words = NULL;
	int r = plan ? request_parse_command(argv, &words) : -ENOMEM;

	if (r < 0) {
		plan_unref(plan);
		return r;
	}
	run_config_set_command(&plan->config, words, label);
	*ret = plan;
	return 0;
}

static int deployment_resume_slots(struct json_object *list, struct slots *ret)
{
	const size_t n =
	        json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (n == 0 || n > RPD_SLOT_MAX)
		return -EINVAL;
	for (ret->n = 0; ret->n < n; ret->n++) {
		const int64_t slot = json_object_get_int64(json_object_array_get_idx(list, ret->n));

		if (slot < 0 || slot >= RPD_SLOT_MAX)
			return -EINVAL;
		ret->at[ret->n] = (uint16_t)slot;
	}
	return 0;
}

/* Reads what deployment_note_bytes() has written. Returns whether it has @size bytes. */
static bool deployment_resume_bytes(struct json_object *state, const char *key, void *ret,
                                    size_t size)
{
	const char *text = json_read_text(state, key);
	size_t n = 0;

	while (text && n < size && isxdigit((unsigned char)text[2 * n]) &&
	       isxdigit((unsigned char)text[2 * n + 1])) {
		const char pair[3] = {text[2 * n], text[2 * n + 1], '\0'};

		((unsigned char *)ret)[n++] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return n == size;
}

static void deployment_resume_verdict(struct json_object *state, struct deployment *it)
{
	struct verdict_state verdict;
	struct latency_baseline latency[ARRAY_SIZE(it->latency)];

	if (!deployment_resume_bytes(state, "evidence", &verdict, sizeof(verdict)) ||
	    !verdict_valid(&verdict, sizeof(verdict)) ||
	    !deployment_resume_bytes(state, "latency", latency, sizeof(latency)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(latency); i++)
		if (!latency_baseline_valid(&latency[i]))
			return;
	it->verdict = verdict;
	memcpy(it->latency, latency, sizeof(latency));
	it->judged_step = (size_t)json_read_number(state, "judged_step");
	it->looked_at = deployment_resume_time(state, "looked_at");
}

static int deployment_resume_settings(const struct supervisor *sup, struct json_object *state,
                                      struct deployment *it)
{
	struct json_object *words = json_read_value(state, "settings");
	int r = 0;

	it->settings = sup->plan->config.deploy;
	if (json_read_length(state, "settings"))
		r = request_parse_command(words, &it->words);
	if (r == 0)
		r = deploy_option_apply(&it->settings, it->words, NULL);
	if (it->returns)
		it->settings.strategy = DEPLOY_BLUE_GREEN;
	return r;
}

static void deployment_resume_outcome(struct json_object *file, struct deployment *it)
{
	const char *outcome = json_read_text(file, "outcome");

	for (enum deployment_outcome_kind i = DEPLOYMENT_PROMOTED;
	     outcome && i < DEPLOYMENT_OUTCOME_MAX; i++)
		if (!strcmp(outcome, deployment_outcome_name(i)))
			it->outcome = i;
}

static void deployment_resume_numbers(struct json_object *file, struct json_object *state,
                                      struct deployment *it)
{
	const char *reason = json_read_text(file, "reason");

	it->id = json_read_number(file, "id");
	it->step = (size_t)json_read_number(file, "step");
	it->n_new = (unsigned int)json_read_number(file, "workers");
	it->began_at = deployment_resume_time(file, "began_at");
	it->step_began_at = deployment_resume_time(file, "step_began_at");
	it->ended_at = deployment_resume_time(file, "ended_at");
	it->held_until = json_read_flag(state, "for_ever")
	                         ? INT64_MAX
	                         : deployment_resume_time(file, "held_until");
	it->n_slots_before = (unsigned int)json_read_number(state, "n_slots_before");
	it->goes_back = json_read_flag(state, "goes_back");
	it->returns = json_read_flag(state, "returns");
	it->unasked = json_read_flag(state, "unasked");
	it->is_asked = json_read_flag(state, "is_asked");
	it->is_passed = json_read_flag(state, "is_passed");
	it->is_full = json_read_flag(state, "is_full");
	it->begun = (size_t)json_read_number(state, "begun");
	it->halt = (enum rollout_halt)json_read_number(state, "halt");
	it->judgement = (enum rollout_judgement)json_read_number(state, "judgement");
	snprintf(it->reason, sizeof(it->reason), "%s", reason ? reason : "");
	if ((unsigned int)it->halt > ROLLOUT_HALT_GATE)
		it->halt = ROLLOUT_HALT_ASKED;
	if ((unsigned int)it->judgement > ROLLOUT_BAD)
		it->judgement = ROLLOUT_UNKNOWN;
}

static int deployment_resume_parse(struct supervisor *sup, struct json_object *file,
                                   struct deployment *it)
{
	struct json_object *state = json_read_value(file, "state");
	int r = deployment_resume_label(file, "new", it->label);

	if (r == 0)
		r = deployment_resume_label(file, "old", it->old_label);
	if (r == 0)
		r = deployment_resume_slots(json_read_value(state, "slots"), &it->slots);
	if (r == 0)
		r = deployment_resume_plan(sup, json_read_value(state, "argv"), it->label,
		                           &it->plan);
	if (r == 0)
		r = deployment_resume_plan(sup, json_read_value(state, "old_argv"), it->old_label,
		                           &it->old);
	if (r < 0)
		return r;
	deployment_resume_numbers(file, state, it);
	deployment_resume_outcome(file, it);
	it->plan->relabel = it->outcome == DEPLOYMENT_UNDER_WAY && !it->returns;
	r = deployment_resume_settings(sup, state, it);
	if (r == 0)
		r = deployment_state_plan_steps(it, NULL);
	return r == 0 && (it->step > it->n_steps || it->begun > it->n_steps ||
	                  it->n_slots_before >= RPD_SLOT_MAX)
	               ? -EINVAL
	               : r;
}

static void deployment_resume_ended(struct supervisor *sup, struct json_object *state)
{
	struct json_object *ended = json_read_value(state, "ended");

	for (enum deployment_outcome_kind i = DEPLOYMENT_PROMOTED; i < DEPLOYMENT_OUTCOME_MAX; i++)
		sup->deployments_ended[i] =
		        (uint64_t)json_read_number(ended, deployment_outcome_name(i));
}

void deployment_resume_read(struct supervisor *sup)
{
	struct deployment *it = calloc(1, sizeof(*it));
	struct json_object *file = NULL;
	struct error err = {};
	int r = it ? deployment_file_read_whole(sup->name, &file, &err) : -ENOMEM;

	deployment_resume_ended(sup, json_read_value(file, "state"));
	if (r == 0) {
		r = deployment_resume_parse(sup, file, it);
		if (r < 0)
			error_set(&err, r,
			          "what is written down of the last deployment can't be "
			          "read: it is forgotten");
	}
	if (r < 0)
		report_line(sup, "%s", err.text);
	if (r == 0) {
		sup->deployment = it;
		deployment_judge_begin(sup);
		deployment_resume_verdict(json_read_value(file, "state"), it);
	} else {
		deployment_free(it);
	}
	json_object_put(file);
}

/* --- workers */

/* The version of the slot. */
static const char *deployment_resume_version(const struct supervisor *sup, unsigned int slot)
{
	const struct rpd_schedule *s = steer_schedule(&sup->service.steer);

	return slot < s->n_slots && s->slots[slot].state != RPD_SLOT_EMPTY
	               ? s->versions[s->slots[slot].version].label
	               : "";
}

/* Until a deployment has begun, the workers that are held are those of the one before. */
bool deployment_resume_holds(const struct worker *w)
{
	const struct deployment *it = w->sup->deployment;

	return it && w->was_held && w->slot < w->sup->n_slots &&
	       (it->outcome == DEPLOYMENT_UNDER_WAY ? it->begun || it->returns
	                                            : it->held_until > clock_ns(CLOCK_REALTIME));
}

void deployment_resume_take_workers(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	for (struct worker *w = sup->workers; it && w; w = w->next) {
		const bool in_slot = w->slot < sup->n_slots && sup->slots[w->slot].current == w;
		const char *of_slot = deployment_resume_version(sup, w->slot);
		bool is_new = !strcmp(in_slot ? of_slot : w->label, it->label);

		/* It has just lost its slot: to a worker of the other version. */
		if (!in_slot && !w->label[0]) {
			is_new = strcmp(of_slot, it->label) != 0;
			strcpy(w->label, is_new ? it->label : it->old_label);
		}
		plan_replace(&w->plan, plan_ref(is_new ? it->plan : it->old));
	}
}

/* --- going on */

/* A slot of the new version without a worker: it has ended while there was no supervisor. */
static enum rollout_phase deployment_resume_phase(const struct supervisor *sup, unsigned int slot,
                                                  const char *new_label)
{
	if (strcmp(deployment_resume_version(sup, slot), new_label) != 0)
		return ROLLOUT_PENDING;
	return slot < sup->n_slots && sup->slots[slot].current ? ROLLOUT_REPLACED : ROLLOUT_FAILED;
}

/* The step that the schedule has in force, from 1; 0 = none, or that of a rolling deployment. */
static size_t deployment_resume_find_step(const struct supervisor *sup, const struct deployment *it,
                                          unsigned int n_new)
{
	const unsigned int permille = steer_schedule(&sup->service.steer)->canary_permille;

	for (size_t i = 0; i < it->n_steps; i++)
		if (permille ? it->steps[i].permille == permille
		             : !it->steps[i].permille && n_new == it->slots.n)
			return i + 1;
	return 0;
}

static void deployment_resume_note_ended(struct deployment *it, const struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->slots.n; i++)
		if (rollout->phase[i] == ROLLOUT_FAILED)
			snprintf(it->reason, sizeof(it->reason),
			         "slot %u: the new worker has ended while there was no supervisor",
			         rollout->slots.at[i]);
}

/* How far the deployment has come. */
static void deployment_resume_rollout(const struct supervisor *sup, struct deployment *it,
                                      struct rollout *ret)
{
	const int64_t since = clock_ns(CLOCK_REALTIME) - it->step_began_at;
	const char *replaced = it->returns ? it->old_label : it->label;
	unsigned int n_new;
	size_t step;

	deployment_state_begin_rollout(it, ret);
	for (size_t i = 0; i < it->slots.n; i++)
		ret->phase[i] =
		        (unsigned char)deployment_resume_phase(sup, it->slots.at[i], replaced);
	n_new = rollout_count(ret, ROLLOUT_REPLACED) + rollout_count(ret, ROLLOUT_FAILED);
	step = it->returns ? 0 : deployment_resume_find_step(sup, it, n_new);
	ret->since = ret->halted_at = clock_ns(CLOCK_MONOTONIC);
	if (step) {
		ret->step = step - 1;
		ret->n_in_force = step;
		ret->in_force = true;
		if (step == it->step && since > 0 && since < ret->since)
			ret->since -= since;
		else
			it->step_began_at = clock_ns(CLOCK_REALTIME);
		ret->passed = it->is_passed && step == it->step;
		it->step = step;
	}
	ret->halt = it->halt;
	ret->full = it->is_full;
	ret->n_open = step || n_new ? step + 1 : 0;
	if (it->begun > 1 && it->begun > step) { /* the gate before this step was open */
		ret->step = it->begun - 1;
		ret->in_force = false;
		ret->n_open = it->begun + 1;
	}
	/* It had been put in force before, or is asked for: the way back is completed. */
	ret->aborted =
	        it->returns || it->is_asked || it->judgement == ROLLOUT_BAD || (it->step && !n_new);
	deployment_resume_note_ended(it, ret);
}

static void deployment_resume_under_way(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	struct plan *newer = plan_ref(it->returns ? it->old : it->plan);
	struct rollout rollout;
	struct error err = {};

	if (deployment_slot_add(sup, it, &err) < 0)
		report_line(sup, "%s", err.text);
	deployment_resume_rollout(sup, it, &rollout);
	report_line(sup, "the deployment of '%s' goes on%s%s: step %zu of %zu", it->label,
	            rollout.halt ? ", paused: " : "", rollout.halt ? it->reason : "", it->step,
	            it->n_steps);
	if (deployment_go_on(sup, newer, &rollout, &err) < 0)
		report_line(sup, "%s", err.text);
	else if (deployment_state_under_way(sup))
		deployment_judge_watch(sup);
	plan_unref(newer);
}

void deployment_resume(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	int64_t left;

	if (!it || it->outcome != DEPLOYMENT_UNDER_WAY)
		deployment_evidence_end(sup);
	if (!it)
		return;
	if (it->outcome == DEPLOYMENT_UNDER_WAY) {
		deployment_resume_under_way(sup);
		return;
	}
	left = it->held_until == INT64_MAX ? DEPLOY_FOR_EVER
	                                   : it->held_until - clock_ns(CLOCK_REALTIME);
	it->held_until = 0;
	if (left > 0)
		deployment_hold(sup, left);
	deployment_slot_drop(sup);
}
