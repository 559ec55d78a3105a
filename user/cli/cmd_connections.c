/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "cli/positional.h"
#include "core/schedule_edit.h"
#include "kern/pins.h"
#include "kern/steer.h"
#include "service/connections.h"
#include "service/generation.h"
#include "service/observe.h"
#include "view/answer.h"
#include "view/connections_view.h"

/* New connections of these slots are missing in the list. */
static void cmd_connections_report_uncounted(const struct service *service,
                                             const struct observed *o)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++)
		if (generation_are_all_used(service, o->slots[slot].worker))
			fprintf(stderr, "reuseportd: slot %u: " GENERATION_ALL_USED "\n", slot);
}

int cmd_connections(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	_cleanup_connections_ struct connections connections = {};
	struct slots slots = {};
	int r;

	service_init(&service);
	if (i->n_args > 1 || (i->n_args == 1 && slots_is_list(i->args[0])))
		r = positional_take_slots(i, 0, &slots, err);
	else
		r = positional_take_service(i, err);
	if (r == 0)
		r = service_open(&service, i->service, err);
	if (r == 0 && slots.n)
		r = schedule_edit_check_slots(steer_schedule(&service.steer), &slots, err);
	if (r == 0)
		r = observe(&service, OBSERVE_KNOWN, &observed, err);
	if (r == 0)
		r = connections_take(&service, &observed, slots.n ? &slots : NULL, true,
		                     &connections, err);
	if (r < 0)
		return r;
	pins_unlock(&service.pins);
	cmd_connections_report_uncounted(&service, &observed);
	answer_print(connections_view_new(&connections), i->json, connections_view_print);
	return 0;
}
