/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_state.h"

const char *deployment_state_outcome_name(enum deployment_outcome_kind outcome)
{
	static const char *const names[DEPLOYMENT_OUTCOME_MAX] = {
	        [DEPLOYMENT_PROMOTED] = "promoted",
	        [DEPLOYMENT_ABORTED] = "aborted",
	        [DEPLOYMENT_ROLLED_BACK] = "rolled-back",
	        [DEPLOYMENT_FAILED] = "failed",
	};

	return names[outcome];
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
