/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_state.h"

struct deployment *deployment_state_under_way(const struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	return it && it->outcome == DEPLOYMENT_UNDER_WAY && sup->reload ? it : NULL;
}
