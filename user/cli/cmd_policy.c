/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/positional.h"
#include "cli/schedule_change.h"
#include "core/policy.h"

static int cmd_policy_edit(struct rpd_schedule *draft, const struct schedule_change *change,
                           struct error *err)
{
	draft->policy = change->number;
	return 0;
}

int cmd_policy(struct invocation *i, struct error *err)
{
	struct schedule_change change = {
	        .what = "the new policy", .event = RPD_EVENT_policy, .edit = cmd_policy_edit};
	enum rpd_policy policy;
	int r;

	if (i->n_args == 0)
		return error_usage(err, "name the policy: " POLICY_NAMES);
	if (policy_parse(i->args[--i->n_args], &policy) < 0)
		return error_usage(err, "'%s' is not a policy: " POLICY_NAMES, i->args[i->n_args]);
	change.number = policy;
	snprintf(change.detail, sizeof(change.detail), "%s", policy_name(policy));
	r = positional_take_service(i, err);
	return r < 0 ? r : schedule_change_run(i, &change, err);
}
