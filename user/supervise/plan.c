/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/plan.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/credentials.h"

struct plan *plan_new(const struct run_config *config)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	if (!plan || run_config_copy(config, &plan->config) < 0) {
		free(plan);
		return NULL;
	}
	plan->refs = 1;
	return plan;
}

struct plan *plan_ref(struct plan *plan)
{
	plan->refs++;
	return plan;
}

void plan_unref(struct plan *plan)
{
	if (!plan || --plan->refs)
		return;
	run_config_free(&plan->config);
	free(plan);
}

void plan_replace(struct plan **at, struct plan *plan)
{
	plan_unref(*at);
	*at = plan;
}

uid_t plan_listener_uid(const struct run_config *config)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;

	if (!config->user || config->pass_sockets)
		return geteuid();
	/* A number without an entry in the user database sets the user as well, and fails. */
	credentials_take(&id, config->user, NULL, config->identity, &ignored);
	return id.set_user ? id.uid : geteuid();
}
