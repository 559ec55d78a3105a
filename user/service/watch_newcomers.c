/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/watch_newcomers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/roster.h"
#include "core/schedule_edit.h"
#include "kern/events.h"
#include "service/admit.h"
#include "service/observe.h"
#include "service/watch_log.h"

void watch_newcomers_free(struct watch_newcomers *newcomers)
{
	free(newcomers->seen);
	newcomers->seen = NULL;
	newcomers->n_seen = 0;
}

/* The slot for one more worker: that of a dead worker, else a new one; -1 if all are taken. */
static int watch_newcomers_find_free_slot(const struct service *service, const struct observed *o,
                                          const struct rpd_schedule *draft)
{
	unsigned int limit = service->steer.service->n_workers;
	int drained = -1;

	if (limit == 0)
		limit = RPD_SLOT_MAX;
	for (unsigned int slot = 0; slot < draft->n_slots; slot++) {
		if (slot < o->n_slots && o->slots[slot].live)
			continue;
		if (!(draft->slots[slot].flags & RPD_SLOT_DEAD))
			continue; /* filled a moment ago */
		if (draft->slots[slot].state == RPD_SLOT_ACTIVE)
			return slot;
		drained = slot;
	}
	return draft->n_slots < limit ? draft->n_slots : drained;
}

/* The slot of a worker that has closed some of its listeners and opened them again as the newcomer,
 * or -1. */
static int watch_newcomers_find_own_slot(const struct observed *o, const struct newcomer *newcomer)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		bool fits =
		        o->slots[slot].live && newcomer_is_in_row(newcomer, o->slots[slot].worker);

		for (unsigned int e = 0; fits && e < RPD_ENDPOINT_MAX; e++)
			fits = !newcomer->listeners[e] || !o->slots[slot].cookies[e];
		if (fits)
			return slot;
	}
	return -1;
}

/* The foreign listeners as workers: those of one process in different groups belong together.
 * Former workers are left out. */
static int watch_newcomers_build_roster(const struct observed *o, struct listener **ret_listeners,
                                        struct roster *ret)
{
	_cleanup_free_ struct listener *listeners = calloc(o->n_foreign + 1, sizeof(*listeners));
	size_t n = 0;
	int r;

	if (!listeners)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_foreign; i++)
		if (!o->foreign[i].former)
			listeners[n++] = *o->foreign[i].listener;
	r = roster_build(listeners, n, o->holders, o->n_holders, ret);
	if (r == 0)
		*ret_listeners = TAKE_PTR(listeners);
	return r;
}

static bool watch_newcomers_was_seen(const struct watch_newcomers *n, uint64_t cookie)
{
	for (size_t i = 0; i < n->n_seen; i++)
		if (n->seen[i] == cookie)
			return true;
	return false;
}

static bool watch_newcomers_is_new(const struct watch_newcomers *n, const struct newcomer *newcomer)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e] &&
		    !watch_newcomers_was_seen(n, newcomer->listeners[e]->cookie))
			return true;
	return false;
}

static int watch_newcomers_remember(struct watch_newcomers *n, const struct observed *o)
{
	uint64_t *seen = calloc(o->n_foreign + 1, sizeof(*seen));

	if (!seen)
		return error_set(n->err, -ENOMEM, "out of memory");
	free(n->seen);
	n->seen = seen;
	n->n_seen = 0;
	for (size_t i = 0; i < o->n_foreign; i++)
		seen[n->n_seen++] = o->foreign[i].listener->cookie;
	n->has_room = false;
	return 0;
}

/* Whether a foreign listener may be admitted, or has to be reported. If there is none, the scan for
 * their owners is not needed. */
static bool watch_newcomers_has_new(const struct watch_newcomers *n, const struct observed *o)
{
	for (size_t i = 0; i < o->n_foreign; i++)
		if (!o->foreign[i].former &&
		    (n->has_room || !watch_newcomers_was_seen(n, o->foreign[i].listener->cookie)))
			return true;
	return false;
}

/* Admits the newcomer, or logs why it can't be admitted. */
static int watch_newcomers_put(struct watch_newcomers *n, struct service *service,
                               const struct observed *o, const struct newcomer *newcomer, int slot,
                               struct rpd_schedule *draft)
{
	const struct holder *owner = &newcomer->owner;
	const char *name = service->pins.service;
	uint8_t dead = draft->slots[slot].flags & RPD_SLOT_DEAD;
	struct error why = {};
	int r = schedule_edit_fill_slot(draft, slot, service->steer.service->label, n->err);

	if (r < 0)
		return r;
	if (admit(service, o, slot, newcomer, draft, &why) < 0) {
		admit_undo(service, o, slot, newcomer);
		watch_log(name, "slot %d: %s", slot, why.text);
		draft->slots[slot].flags |= dead;
	} else {
		watch_log(name, "slot %d: admitted pid %u (%s)", slot, owner->id.pid, owner->comm);
		events_note(&service->steer, RPD_EVENT_admitted, slot, owner->id.pid, owner->comm);
	}
	return 0;
}

/* @complete: the newcomer listens in all groups. If it does not yet, it waits until it does. */
static int watch_newcomers_place(struct watch_newcomers *n, struct service *service,
                                 const struct observed *o, const struct newcomer *newcomer,
                                 bool complete, struct rpd_schedule *draft)
{
	int slot = watch_newcomers_find_own_slot(o, newcomer);

	if (slot < 0 && !complete)
		return 0;
	if (slot < 0)
		slot = watch_newcomers_find_free_slot(service, o, draft);
	if (slot >= 0)
		return watch_newcomers_put(n, service, o, newcomer, slot, draft);
	if (watch_newcomers_is_new(n, newcomer))
		watch_log(service->pins.service,
		          "pid %u (%s) has joined, but all slots are taken: it gets no connection",
		          newcomer->owner.id.pid, newcomer->owner.comm);
	return 0;
}

int watch_newcomers_admit(struct watch_newcomers *newcomers, struct service *service,
                          struct observed *observed, struct rpd_schedule *draft)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct roster roster = {};
	int r;

	if (!watch_newcomers_has_new(newcomers, observed))
		return 0;
	r = observe_foreign(observed, newcomers->err);
	if (r == 0 && watch_newcomers_build_roster(observed, &listeners, &roster) < 0)
		r = error_set(newcomers->err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < roster.n_workers; i++) {
		struct newcomer newcomer;
		size_t n = newcomer_from_roster(service, &roster, i, listeners, observed->holders,
		                                observed->n_holders, &newcomer);

		r = watch_newcomers_place(newcomers, service, observed, &newcomer,
		                          n == service->steer.service->n_endpoints, draft);
	}
	roster_free(&roster);
	return r < 0 ? r : watch_newcomers_remember(newcomers, observed);
}
