/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "base/escape.h"
#include "cli/positional.h"
#include "service/detach.h"
#include "service/service_remove.h"
#include "view/answer.h"
#include "view/outcome_view.h"

int cmd_detach(struct invocation *i, struct error *err)
{
	_cleanup_detach_ struct detach_result result = {0};
	int r = positional_take_service(i, err);

	if (r == 0)
		r = detach(i->service, i->force, &result, err);
	if (r < 0)
		return r;
	if (r == SERVICE_GROUPS_LEFT)
		fprintf(stderr, "note: %s: " SERVICE_REMOVE_LEFT "\n", result.name);
	if (result.notes)
		escape_print_line(stderr, "note: %.*s", (int)strlen(result.notes) - 1,
		                  result.notes);
	answer_print(outcome_view_new_detached(result.name, r == SERVICE_REMOVED, result.replaced),
	             i->json, outcome_view_print_detached);
	return 0;
}
