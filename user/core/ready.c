/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/ready.h"

bool ready_must_listen(const struct run_config *config, const struct ready_seen *seen)
{
	if (config->n_listens)
		return false;
	if (seen->predecessor)
		return true;
	return config->ready == READY_LISTEN && seen->listening >= 2 &&
	       2 * seen->listening > seen->others;
}
