/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/slot_replace.h"

#include <errno.h>
#include <string.h>

#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "kern/steer.h"
#include "kern/steer_members.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/observe.h"
#include "service/schedule_commit.h"
#include "service/slot_flip.h"

/* Puts the draft in force, with the listeners that the slots have now. */
static int slot_replace_commit(struct service *service, struct rpd_schedule *draft,
                               const char *what, struct error *err)
{
	_cleanup_observed_ struct observed after = {};
	int r = observe(service, OBSERVE_KNOWN, &after, err);

	if (r < 0)
		return r;
	schedule_commit_note_observed(draft, &after);
	return schedule_commit(service, &after, draft, true, what, err);
}

int slot_replace_worker(struct service *service, unsigned int slot, const struct newcomer *newcomer,
                        const char *label, const char *what, struct error *err)
{
	const struct slot_flip_change change = {slot, newcomer, label};

	return slot_flip(service, &change, 1, NULL, 0, what, err);
}

/* The row comes first: in a service that is run, observe() takes a listener out of a slot if it is
 * not in the slot's row. If the command is killed in between, the next one completes the change. */
int slot_replace_vacate(struct service *service, unsigned int slot, struct error *err)
{
	struct rpd_schedule draft = *steer_schedule(&service->steer);
	struct rpd_worker worker;
	int r = steer_workers_get(&service->steer, slot, &worker);

	memset(worker.cookies, 0, sizeof(worker.cookies));
	if (r == 0)
		r = steer_workers_set(&service->steer, slot, &worker);
	for (unsigned int e = 0; r == 0 && e < service->steer.service->n_endpoints; e++)
		r = steer_socks_clear(&service->steer, e, slot);
	if (r < 0)
		return error_set(err, r, "can't empty slot %u: %s", slot, strerror(-r));
	return slot_replace_commit(service, &draft, "that", err);
}
