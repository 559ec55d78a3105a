/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/positional.h"
#include "cli/schedule_change.h"
#include "core/policy.h"

static int cmd_policy_edit(struct rpd_schedule *draft, const struct schedule_change *change,
                           struct error *err)
{
	struct dealing dealing = dealing_read(draft);

	if (change->dealing->policy != RPD_POLICY_MAX)
		dealing.policy = change->dealing->policy;
	if (change->dealing->skip_stuck >= 0)
		dealing.skip_stuck = change->dealing->skip_stuck;
	if (change->dealing->slow_start >= 0)
		dealing.slow_start = change->dealing->slow_start;
	if (change->dealing->choices)
		dealing.choices = change->dealing->choices;
	dealing_apply(&dealing, draft);
	return 0;
}

static bool cmd_policy_has_option(const struct dealing *given)
{
	return given->skip_stuck >= 0 || given->slow_start >= 0 || given->choices;
}

int cmd_policy(struct invocation *i, struct error *err)
{
	struct schedule_change change = {.what = "the new policy",
	                                 .event = RPD_EVENT_policy,
	                                 .edit = cmd_policy_edit,
	                                 .dealing = &i->dealing};
	const char *named = i->n_args ? i->args[i->n_args - 1] : NULL;
	int r;

	if (named && policy_parse(named, &i->dealing.policy) == 0)
		i->n_args--;
	else if (!cmd_policy_has_option(&i->dealing))
		return named ? error_usage(err, "'%s' is not a policy: " POLICY_NAMES, named)
		             : error_usage(err, "name the policy: " POLICY_NAMES);
	snprintf(change.detail, sizeof(change.detail), "%s",
	         i->dealing.policy == RPD_POLICY_MAX ? "its options"
	                                             : policy_name(i->dealing.policy));
	r = positional_take_service(i, err);
	return r < 0 ? r : schedule_change_run(i, &change, err);
}
