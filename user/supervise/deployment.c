/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strv.h"
#include "core/rollout_steps.h"
#include "service/service_lock.h"
#include "supervise/deployment_evidence.h"
#include "supervise/deployment_announce.h"
#include "supervise/deployment_gate.h"
#include "supervise/deployment_hold.h"
#include "supervise/deployment_judge.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_slot.h"
#include "supervise/deployment_state.h"
#include "supervise/health_probe.h"
#include "supervise/persisted_command.h"
#include "supervise/plan.h"
#include "supervise/postponed.h"
#include "supervise/reload.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/slot.h"

void deployment_free(struct deployment *it)
{
	if (!it)
		return;
	sd_event_source_disable_unref(it->timer);
	sd_event_source_disable_unref(it->look_timer);
	health_probe_cancel(it->check);
	sd_event_source_disable_unref(it->gate_timer);
	health_probe_cancel(it->gate);
	plan_unref(it->plan);
	plan_unref(it->old);
	strv_free(it->words);
	free(it);
}

/* --- its end */

/* The new version has all connections, or the old one has. */
static enum deployment_outcome_kind deployment_choose_outcome(const struct deployment *it,
                                                              bool committed)
{
	if (committed || it->returns)
		return it->goes_back ? DEPLOYMENT_ROLLED_BACK : DEPLOYMENT_PROMOTED;
	return it->step || it->is_asked || it->halt != ROLLOUT_GOES_ON ? DEPLOYMENT_ABORTED
	                                                               : DEPLOYMENT_FAILED;
}

static void deployment_report_end(struct supervisor *sup, const struct deployment *it)
{
	switch (it->outcome) {
	case DEPLOYMENT_PROMOTED:
		report_line(sup, "'%s' is promoted: it has all new connections", it->label);
		break;
	case DEPLOYMENT_ROLLED_BACK:
		report_line(sup, "rolled back: '%s' has all new connections", it->label);
		break;
	default:
		report_line(sup, "the deployment of '%s' is aborted: '%s' has all new connections",
		            it->label, it->old_label);
	}
}

static void deployment_on_end(struct supervisor *sup, bool committed, const char *why)
{
	struct deployment *it = sup->deployment;

	if (committed || why[0])
		snprintf(it->reason, sizeof(it->reason), "%.*s", (int)sizeof(it->reason) - 1,
		         committed ? "" : why);
	else if (it->halt != ROLLOUT_GOES_ON) /* the reason of the pause */
		strncat(it->reason, "; no person came within --pause-timeout",
		        sizeof(it->reason) - strlen(it->reason) - 1);
	if (!committed && it->step && !it->is_asked && it->halt == ROLLOUT_GOES_ON)
		it->judgement = ROLLOUT_BAD; /* a worker has failed, or the judgement is */
	it->outcome = deployment_choose_outcome(it, committed);
	sup->deployments_ended[it->outcome]++;
	it->ended_at = clock_ns(CLOCK_REALTIME);
	it->halt = ROLLOUT_GOES_ON;
	if (committed || it->returns)
		it->step = it->n_steps;
	deployment_judge_end(sup);
	deployment_gate_end(sup);
	deployment_evidence_end(sup);
	it->n_new = committed || it->returns ? (unsigned int)it->slots.n : 0;
	if (committed && it->plan->config.workers != it->old->config.workers)
		it->n_slots_before = 0; /* the service has the number of slots of the new version */
	deployment_report_end(sup, it);
	deployment_hold(sup, committed ? it->settings.keep_old : it->settings.keep_new);
	deployment_note_add_to_history(sup); /* once it has ended, nothing would add it */
	deployment_note_write(sup);
	deployment_slot_drop(sup);
	deployment_announce(sup, deployment_outcome_name(it->outcome));
	postponed_go_on(sup);
}

/* --- under way */

/* What is known of a step that can't be judged stays in the reason. */
static void deployment_note_halt(struct deployment *it)
{
	const bool judged =
	        it->halt == ROLLOUT_HALT_INCONCLUSIVE || it->halt == ROLLOUT_HALT_NO_TRAFFIC;
	char before[sizeof(it->reason)];

	strcpy(before, judged ? it->reason : "");
	deployment_state_set_reason(it, before);
}

static void deployment_note_step(struct supervisor *sup, struct deployment *it, size_t step)
{
	const struct rollout_step *is = &it->steps[step - 1];

	it->step = step;
	it->step_began_at = clock_ns(CLOCK_REALTIME);
	report_line(sup,
	            "step %zu of %zu: '%s' has %g %% of the new connections (%u of %zu workers)",
	            step, it->n_steps, it->label, deployment_state_step_share(it, is), is->n_slots,
	            it->slots.n);
}

static void deployment_on_change(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	const struct rollout *rollout = &sup->reload->rollout;
	/* Until workers return, the version that they replace has the slots. */
	const size_t step = it->returns ? 0 : rollout->n_in_force;
	const unsigned int n_new = it->returns ? 0 : rollout_count(rollout, ROLLOUT_REPLACED);
	const char *const asked_about = it->gate_about;
	bool changed = it->step != step || it->begun != rollout->step + 1 || it->n_new != n_new ||
	               it->halt != rollout->halt || it->is_passed != rollout->passed ||
	               it->is_full != rollout->full;

	deployment_gate_update(sup);
	changed |= it->gate_about != asked_about;
	if (!changed)
		return;
	it->n_new = n_new;
	it->begun = rollout->step + 1;
	it->is_passed = rollout->passed;
	it->is_full = rollout->full;
	if (step > it->step) {
		deployment_note_step(sup, it, step);
		deployment_judge_watch(sup);
		deployment_announce(sup, "step");
	}
	if (it->halt != rollout->halt) {
		it->halt = rollout->halt;
		deployment_note_halt(it);
		report_line(sup, it->halt ? "paused: %s" : "it goes on%s", it->reason);
		if (it->halt)
			deployment_announce(sup, "paused");
		postponed_go_on(sup); /* the way back may be barred */
	}
	deployment_note_write(sup);
}

static const struct reload_events events = {.changed = deployment_on_change,
                                            .ended = deployment_on_end};

/* --- its beginning */

static int deployment_check_steps(const struct deployment_order *order, struct error *err)
{
	struct rollout_shares shares;
	int r = order->goes_back ? 0 : rollout_steps_parse(order->settings->steps, &shares, err);

	if (r < 0)
		return error_add(err, r, " (steps)");
	if (order->goes_back || !rollout_steps_lack_measure(&shares, order->settings))
		return 0;
	return error_usage(err,
	                   "a step of 100%% is not compared with the old version, which gets no "
	                   "connection then; give --max-error-rate or --check to judge it by, or "
	                   "leave it to a person: `100%% pause` (steps)");
}

int deployment_check(const struct supervisor *sup, const struct deployment_order *order,
                     struct error *err)
{
	if (reload_ways_of(sup, &order->plan->config).in_place &&
	    order->settings->strategy != DEPLOY_ROLLING)
		return error_set(err, -EINVAL,
		                 "%s needs two versions at a time, which in-place rules out; "
		                 "deploy with --strategy rolling",
		                 deploy_settings_strategy_name(order->settings->strategy));
	return deployment_check_steps(order, err);
}

/* Two hands on one share would undo what the other has done. */
static int deployment_check_shares(struct supervisor *sup, const struct deployment *it,
                                   struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	const struct rpd_schedule *s;
	int r = service_lock(&sup->service, &service, err);

	if (r < 0)
		return r;
	s = steer_schedule(&service->steer);
	if (s->only_version != RPD_NO_VERSION)
		return error_set(err, -EBUSY,
		                 "only version '%s' gets connections; let all versions get them "
		                 "first: `reuseportd switch %s --off`",
		                 s->versions[s->only_version].label, sup->name);
	if (s->canary_permille)
		return error_set(
		        err, -EBUSY,
		        "a canary share is set; end it first: `reuseportd canary %s --off`",
		        sup->name);
	return 0;
}

static int deployment_choose_steps(struct supervisor *sup, struct deployment *it, struct error *err)
{
	int r = 0;

	reload_list_slots(sup, &it->slots);
	if (it->slots.n == 0)
		return error_set(
		        err, -EINVAL,
		        "service '%s': all its slots are stopped, so there is nothing to deploy",
		        sup->name);
	if (it->settings.strategy == DEPLOY_CANARY && it->slots.n == 1)
		r = deployment_slot_choose(sup, it, err);
	return r < 0 ? r : deployment_state_plan_steps(it, err);
}

int deployment_new(struct supervisor *sup, const struct deployment_order *order,
                   struct deployment **ret, struct error *err)
{
	struct deployment *it = calloc(1, sizeof(*it));

	if (!it || strv_copy(order->words, &it->words) < 0) {
		free(it);
		return error_set(err, -ENOMEM, "out of memory");
	}
	it->began_at = clock_ns(CLOCK_REALTIME);
	it->id = it->began_at / NS_PER_S;
	if (sup->deployment && it->id <= sup->deployment->id)
		it->id = sup->deployment->id + 1;
	it->plan = plan_ref(order->plan);
	it->old = plan_ref(sup->plan);
	it->goes_back = order->goes_back;
	memcpy(it->label, order->plan->config.label, sizeof(it->label));
	memcpy(it->old_label, sup->plan->config.label, sizeof(it->old_label));
	it->settings = *order->settings;
	*ret = it;
	return 0;
}

void deployment_replace(struct supervisor *sup, struct deployment *it)
{
	deployment_free(sup->deployment);
	sup->deployment = it;
}

/* The slot is written down before it is added: see deployment_slot.h. */
static int deployment_add_slot(struct supervisor *sup, struct deployment *it, struct error *err)
{
	struct deployment *last = sup->deployment;
	int r;

	sup->deployment = it;
	deployment_note_write(sup);
	r = deployment_slot_add(sup, it, err);
	sup->deployment = last;
	if (r < 0 && last)
		deployment_note_write(sup);
	else if (r < 0)
		deployment_note_forget(sup);
	return r;
}

/* Workers are started with the command of the version that returns. It is written down after the
 * deployment, which the next supervisor completes. */
static void deployment_take_plan_back(struct supervisor *sup, const struct deployment *it)
{
	struct error err = {};

	plan_replace(&sup->plan, plan_ref(it->plan));
	if (persisted_command_keep(sup, &sup->plan->config, &err) < 0)
		report_line(sup, "%s", err.text);
}

int deployment_go_on(struct supervisor *sup, struct plan *plan, const struct rollout *rollout,
                     struct error *err)
{
	struct deployment *it = sup->deployment;
	struct reload_ways ways = reload_ways_of(sup, &it->plan->config);
	const struct reload_deployment deployment = {
	        .label = plan->config.label, .rollout = rollout, .events = &events};

	ways.deployment = &deployment;
	if (it->returns)
		deployment_take_plan_back(sup, it);
	return reload_begin(sup, &it->slots, plan, &ways, err);
}

int deployment_begin(struct supervisor *sup, const struct deployment_order *order,
                     struct error *err)
{
	const struct deploy_settings *settings = order->settings;
	struct deployment *it = NULL;
	struct rollout rollout;
	int r = reload_check_idle(sup, err);

	if (r == 0)
		r = deployment_check(sup, order, err);
	if (r == 0)
		r = deployment_new(sup, order, &it, err);
	if (r == 0)
		r = deployment_check_shares(sup, it, err);
	if (r == 0)
		r = deployment_choose_steps(sup, it, err);
	if (r == 0 && it->n_slots_before)
		r = deployment_add_slot(sup, it, err);
	if (r < 0) {
		deployment_free(it);
		return r;
	}
	deployment_hold_release(sup); /* nothing can refuse this deployment any more */
	deployment_replace(sup, it);
	report_line(sup, "%s deployment of '%s' in place of '%s'",
	            deploy_settings_strategy_name(settings->strategy), it->label, it->old_label);
	deployment_judge_begin(sup);
	deployment_note_write(sup);
	deployment_announce(sup, "started");
	deployment_state_begin_rollout(it, &rollout);
	return deployment_go_on(sup, it->plan, &rollout, err);
}

/* --- what people ask */

static int deployment_check_under_way(const struct supervisor *sup, struct error *err)
{
	return deployment_state_under_way(sup)
	               ? 0
	               : error_set(err, -ENOENT, "service '%s' has no deployment under way",
	                           sup->name);
}

int deployment_promote(struct supervisor *sup, bool full, struct error *err)
{
	int r = deployment_check_under_way(sup, err);

	if (r < 0)
		return r;
	rollout_promote(&sup->reload->rollout, full);
	reload_advance(sup);
	return 0;
}

int deployment_pause(struct supervisor *sup, struct error *err)
{
	int r = deployment_check_under_way(sup, err);

	if (r < 0)
		return r;
	rollout_pause(&sup->reload->rollout, clock_ns(CLOCK_MONOTONIC));
	reload_advance(sup);
	return 0;
}

int deployment_abort(struct supervisor *sup, const char *why, struct error *err)
{
	struct deployment *it = deployment_state_under_way(sup);
	int r = deployment_check_under_way(sup, err);

	if (r < 0)
		return r;
	it->is_asked = true;
	snprintf(it->reason, sizeof(it->reason), "%s", why[0] ? why : "by `abort`");
	strcpy(sup->reload->why, it->reason);
	deployment_note_write(sup); /* an abort is never lost */
	rollout_abort(&sup->reload->rollout);
	reload_advance(sup);
	return 0;
}

bool deployment_note_unhealthy(struct supervisor *sup, unsigned int slot, const char *why)
{
	if (!deployment_state_under_way(sup) || !reload_state_has(sup, slot) ||
	    reload_state_phase(sup, slot) != ROLLOUT_REPLACED)
		return false;
	snprintf(sup->reload->why, sizeof(sup->reload->why), "slot %u: the new worker: %s", slot,
	         why);
	rollout_judge(&sup->reload->rollout, ROLLOUT_BAD);
	reload_wake(sup);
	return true;
}

void deployment_drop(struct supervisor *sup)
{
	deployment_announce_end(sup);
	deployment_replace(sup, NULL);
}
