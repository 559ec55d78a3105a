/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/deploy_settings.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

static const char *const names[DEPLOY_STRATEGY_MAX] = {
        [DEPLOY_ROLLING] = "rolling",
        [DEPLOY_BLUE_GREEN] = "blue-green",
        [DEPLOY_CANARY] = "canary",
};

void deploy_settings_init(struct deploy_settings *settings)
{
	*settings = (struct deploy_settings){
	        .steps = "5% 2m, 25% 3m, 50% 5m",
	        .warm_up = 10 * NS_PER_S,
	        .step_deadline = 600 * NS_PER_S,
	        .min_samples = 100,
	        .tolerate = 150,
	        .confidence = 990,
	        .pause_timeout = 3600 * NS_PER_S,
	        .keep_old = 300 * NS_PER_S,
	        .keep_new = 30 * NS_PER_S,
	        .check_interval = 30 * NS_PER_S,
	};
}

const char *deploy_settings_strategy_name(enum deploy_strategy strategy)
{
	return names[strategy];
}

int deploy_settings_parse_strategy(const char *name, enum deploy_strategy *ret)
{
	for (unsigned int i = 0; i < DEPLOY_STRATEGY_MAX; i++)
		if (strcmp(names[i], name) == 0) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}
