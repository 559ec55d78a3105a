/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/ready_rule.h"

bool ready_rule_must_listen(const struct run_config *config, const struct ready_seen *seen)
{
	if (config->n_listens)
		return false;
	if (seen->predecessor)
		return true;
	return config->ready == READY_LISTEN && seen->listening >= 2 &&
	       2 * seen->listening > seen->others;
}

bool ready_rule_allows_no_message(const struct run_config *config, bool predecessor_sent)
{
	return config->ready == READY_MESSAGE && config->alive_after && !predecessor_sent;
}

bool ready_rule_allows_no_listener(const struct run_config *config)
{
	return config->n_listens == 0 &&
	       (config->ready == READY_NOTIFY || config->ready == READY_MESSAGE ||
	        config->ready == READY_EXEC || config->ready == READY_ALIVE);
}
