/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/deployment_outcome.h"

#include <stddef.h>

const char *deployment_outcome_name(enum deployment_outcome_kind outcome)
{
	static const char *const names[DEPLOYMENT_OUTCOME_MAX] = {
	        [DEPLOYMENT_PROMOTED] = "promoted",
	        [DEPLOYMENT_ABORTED] = "aborted",
	        [DEPLOYMENT_ROLLED_BACK] = "rolled-back",
	        [DEPLOYMENT_FAILED] = "failed",
	};

	return names[outcome];
}
