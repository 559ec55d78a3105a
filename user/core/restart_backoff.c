/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/restart_backoff.h"

int64_t restart_backoff_pause(const struct run_config *config, int64_t uptime,
                              unsigned int *crashes)
{
	const bool has_run = uptime >= config->min_uptime && uptime > 0;
	const unsigned int first = config->backoff_of_pm2 ? 1 : 2; /* crash that has a pause */
	int64_t pause = config->backoff_min;

	*crashes = !has_run ? *crashes + 1 : config->backoff_of_pm2 ? 1 : 0;
	if (!has_run && *crashes >= config->max_restarts)
		return RESTART_BACKOFF_NEVER;
	if (*crashes < first)
		return config->restart_delay;
	for (unsigned int i = first; i < *crashes && pause < config->backoff_max; i++)
		pause += config->backoff_of_pm2 ? pause / 2 : pause;
	if (pause > config->backoff_max)
		pause = config->backoff_max;
	return config->restart_delay + pause;
}
