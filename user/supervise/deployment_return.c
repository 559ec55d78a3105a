/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_return.h"

#include <stdio.h>
#include <string.h>

#include "supervise/deployment.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_state.h"
#include "supervise/plan.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"

/* Lists the slots that would get their old workers back. Returns whether any of these lives. */
static bool deployment_return_list(const struct supervisor *sup, struct slots *ret)
{
	const struct deployment *last = sup->deployment;
	bool any_lives = false;

	ret->n = 0;
	for (size_t i = 0; i < last->slots.n; i++) {
		const unsigned int slot = last->slots.at[i];

		if (slot >= sup->n_slots || sup->slots[slot].run == RPD_RUN_STOPPED)
			continue;
		ret->at[ret->n++] = (uint16_t)slot;
		any_lives |= supervisor_state_held_worker(sup, slot) != NULL;
	}
	return any_lives;
}

bool deployment_return_is_possible(const struct supervisor *sup)
{
	const struct deployment *it = sup->deployment;
	struct slots ignored;

	return it && it->held_until && !sup->reload &&
	       (it->outcome == DEPLOYMENT_PROMOTED || it->outcome == DEPLOYMENT_ROLLED_BACK) &&
	       deployment_return_list(sup, &ignored);
}

/* The last deployment is rolled back, as if it were still under way. */
int deployment_return(struct supervisor *sup, const char *why, struct error *err)
{
	struct deployment *last = sup->deployment, *it = NULL;
	struct rollout rollout;
	struct plan *newer;
	int r = reload_check_idle(sup, err);

	if (r == 0)
		r = deployment_new(sup,
		                   &(struct deployment_order){.plan = last->old,
		                                              .settings = &last->settings,
		                                              .goes_back = true},
		                   &it, err);
	if (r < 0)
		return r;
	deployment_return_list(sup, &it->slots);
	it->returns = true;
	it->unasked = why;
	snprintf(it->reason, sizeof(it->reason), "%s", why ? why : "");
	it->settings.strategy = DEPLOY_BLUE_GREEN;
	deployment_state_plan_steps(it, NULL);
	deployment_state_begin_rollout(it, &rollout);
	rollout.in_force = rollout.aborted = true;
	memset(rollout.phase, ROLLOUT_REPLACED, it->slots.n);
	newer = plan_ref(last->plan);
	deployment_replace(sup, it);
	deployment_note_write(sup);
	r = deployment_go_on(sup, newer, &rollout, err);
	plan_unref(newer);
	return r;
}

/* A slot that a person has stopped and started again has not lost its worker. */
static bool deployment_return_has_lost_worker(const struct supervisor *sup)
{
	const struct slots *slots = &sup->deployment->slots;

	for (size_t i = 0; i < slots->n; i++) {
		const struct slot *slot = &sup->slots[slots->at[i]];

		if (slots->at[i] < sup->n_slots && slot->run != RPD_RUN_STOPPED && slot->proven)
			return true;
	}
	return false;
}

void deployment_return_unasked(struct supervisor *sup)
{
	struct error err = {};
	char why[RPD_LABEL_MAX + 32];

	if (sup->stopping || sup->postponed || supervisor_state_has_worker(sup) ||
	    !deployment_return_is_possible(sup) || !deployment_return_has_lost_worker(sup))
		return;
	snprintf(why, sizeof(why), "no worker of '%s' lives", sup->deployment->label);
	report_line(sup, "%s: the workers of '%s', which are held, return", why,
	            sup->deployment->old_label);
	if (deployment_return(sup, why, &err) < 0)
		report_line(sup, "%s", err.text);
}
