/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/restart_backoff.h"

int64_t restart_backoff_pause(const struct run_config *config, int64_t uptime,
                              unsigned int *crashes)
{
	int64_t pause = config->backoff_min;

	*crashes = uptime >= config->min_uptime && uptime > 0 ? 0 : *crashes + 1;
	if (*crashes >= config->max_restarts)
		return RESTART_BACKOFF_NEVER;
	if (*crashes <= 1)
		return config->restart_delay;
	for (unsigned int i = 2; i < *crashes && pause < config->backoff_max; i++)
		pause *= 2;
	if (pause > config->backoff_max)
		pause = config->backoff_max;
	return config->restart_delay + pause;
}
