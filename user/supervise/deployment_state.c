/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_state.h"

#include <stdio.h>

#include "core/rollout_steps.h"

static const char *deployment_state_describe_halt(enum rollout_halt halt)
{
	static const char *const texts[] = {
	        [ROLLOUT_GOES_ON] = "",
	        [ROLLOUT_HALT_ASKED] = "paused by `pause`",
	        [ROLLOUT_HALT_STEP] = "the step waits for `promote`",
	        [ROLLOUT_HALT_INCONCLUSIVE] =
	                "not enough is known to judge the step, and its "
	                "deadline is over",
	        [ROLLOUT_HALT_NO_TRAFFIC] =
	                "no traffic to judge the step by, and its deadline is "
	                "over",
	        [ROLLOUT_HALT_NO_OLD] =
	                "it can't be rolled back: no worker of the old version lives",
	        [ROLLOUT_HALT_GATE] = "the gate has not opened within --step-deadline",
	};

	return texts[halt];
}

void deployment_state_set_reason(struct deployment *it, const char *text)
{
	snprintf(it->reason, sizeof(it->reason), "%s%s%.400s",
	         deployment_state_describe_halt(it->halt), it->halt && text[0] ? ": " : "", text);
}

/* On the way back nothing is judged. */
int deployment_state_plan_steps(struct deployment *it, struct error *err)
{
	struct rollout_shares shares = {};
	int r = it->goes_back ? 0 : rollout_steps_parse(it->settings.steps, &shares, err);

	if (r < 0)
		return error_add(err, r, " (steps)");
	it->n_steps = rollout_steps_plan(it->settings.strategy, &shares, (unsigned int)it->slots.n,
	                                 it->steps);
	return 0;
}

void deployment_state_begin_rollout(const struct deployment *it, struct rollout *ret)
{
	rollout_begin(ret, &it->slots, it->plan->config.batch, false);
	rollout_set_steps(ret, it->steps, it->n_steps);
	ret->keeps_old = true;
	ret->gated = deployment_state_is_gated(it);
	ret->deadline = it->settings.step_deadline;
	ret->pause_timeout = it->settings.pause_timeout;
}

double deployment_state_step_share(const struct deployment *it, const struct rollout_step *step)
{
	if (step->permille)
		return step->permille / 10.0;
	return it->slots.n ? 100.0 * step->n_slots / (double)it->slots.n : 0;
}

double deployment_state_share(const struct deployment *it)
{
	struct rollout_step now = {.n_slots = it->n_new};

	if (it->step && it->outcome == DEPLOYMENT_UNDER_WAY)
		now.permille = it->steps[it->step - 1].permille;
	return deployment_state_step_share(it, &now);
}

struct deployment *deployment_state_under_way(const struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	return it && it->outcome == DEPLOYMENT_UNDER_WAY && sup->reload ? it : NULL;
}

bool deployment_state_is_gated(const struct deployment *it)
{
	return it->settings.gate[0] && !it->goes_back;
}
