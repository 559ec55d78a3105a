/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/former.h"

#include <string.h>
#include <time.h>

#include "kern/proc.h"
#include "kern/steer_former.h"
#include "supervise/drain_check.h"
#include "supervise/plan.h"
#include "supervise/report.h"
#include "supervise/worker.h"

/* The maps that are open are enough: nothing else writes these rows. */
static struct steer *former_maps(const struct worker *w)
{
	return service_is_open(&w->sup->service) ? &w->sup->service.steer : NULL;
}

void former_note(struct worker *w)
{
	struct steer *steer = former_maps(w);
	struct rpd_former row = {};
	struct process main = {};

	if (!steer)
		return;
	if (w->sup->stopping && !w->is_former)
		return; /* it stays in its slot, until the service is removed */
	if (!w->up_at || w->state < WORKER_HELD || w->state >= WORKER_GONE) {
		if (w->is_former)
			steer_former_remove(steer, w->number);
		w->is_former = false;
		return;
	}
	/* After its main process has ended, the row keeps its name, and no longer counts. */
	if (!w->is_former || steer_former_get(steer, w->number, &row) < 0) {
		proc_identify(w->pid, &main);
		row.since = time(NULL);
		row.start_time = main.id.start_time;
		memcpy(row.comm, main.comm, sizeof(row.comm));
		memcpy(row.label, w->label, sizeof(row.label));
	}
	row.pid = w->pid;
	row.slot = w->slot;
	row.account = w->generation;
	row.state = w->state;
	w->is_former = steer_former_set(steer, w->number, &row) == 0;
}

void former_recall(struct worker *w)
{
	struct steer *steer = former_maps(w);
	struct rpd_former row;

	if (!steer)
		return;
	if (steer_former_get(steer, w->number, &row) < 0 || row.pid != w->pid) {
		/* It has just lost its slot, or never had one. */
		w->was_held = w->generation != RPD_ACCOUNT_NONE;
		return;
	}
	w->is_former = true;
	w->was_held = row.state == WORKER_HELD;
	if (w->generation == RPD_ACCOUNT_NONE)
		w->generation = row.account;
	memcpy(w->label, row.label, sizeof(w->label));
}

void former_drop_ended(struct supervisor *sup)
{
	struct steer *steer = &sup->service.steer;
	uint32_t number, next;
	int r = steer_former_next(steer, NULL, &number);

	for (unsigned int i = 0; r == 0 && i < RPD_FORMER_MAX; i++, number = next) {
		r = steer_former_next(steer, &number, &next);
		if (!worker_of_number(sup, number))
			steer_former_remove(steer, number);
	}
}

/* The oldest worker of the slot that drains. */
static struct worker *former_find_oldest(const struct supervisor *sup, unsigned int slot)
{
	struct worker *oldest = NULL;

	for (struct worker *w = sup->workers; w; w = w->next)
		if (w->slot == slot && w->state == WORKER_DRAINING &&
		    (!oldest || w->number < oldest->number))
			oldest = w;
	return oldest;
}

static void former_stop_oldest(struct supervisor *sup, unsigned int slot)
{
	struct worker *w = former_find_oldest(sup, slot);
	uint64_t open;

	drain_check_is_empty(w, &open);
	report_line(sup,
	            "slot %u: pid %u is stopped with %lu open connection%s: the slot has more than "
	            "%u former workers (--max-former)",
	            slot, w->pid, open == UINT64_MAX ? 0 : open, open == 1 ? "" : "s",
	            sup->plan->config.max_former);
	worker_event(w, WORKER_EVENT_DRAINED);
}

void former_limit(struct supervisor *sup)
{
	unsigned int n[RPD_SLOT_MAX] = {};

	for (const struct worker *w = sup->workers; w; w = w->next)
		n[w->slot] += w->state == WORKER_DRAINING;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		for (; n[slot] > sup->plan->config.max_former; n[slot]--)
			former_stop_oldest(sup, slot);
}
