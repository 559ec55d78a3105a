/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command.h"
#include "service/drain_mark.h"
#include "view/answer.h"
#include "view/host_drain_view.h"

int cmd_resume_host(struct invocation *i, struct error *err)
{
	int changed;

	if (i->n_args)
		return error_usage(err, "`resume-host` takes no argument");
	changed = drain_mark_clear(NULL, err);
	if (changed < 0)
		return changed;
	answer_print(host_drain_view_new_resumed(changed == DRAIN_MARK_CHANGED), i->json,
	             host_drain_view_print_resumed);
	return EXIT_OK;
}
