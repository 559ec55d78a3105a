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
#include "service/admit.h"
#include "service/observe.h"
#include "service/schedule_commit.h"

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

static bool slot_replace_row_has_cookie(const struct rpd_worker *row, uint64_t cookie)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (row->cookies[e] == cookie)
			return true;
	return false;
}

/* After an admission that failed: writes the former row back, and takes the newcomer's listeners
 * out where the former worker had none. observe() then puts the former listeners back. */
static void slot_replace_roll_back(struct service *service, unsigned int slot,
                                   const struct newcomer *newcomer, const struct rpd_worker *before)
{
	_cleanup_observed_ struct observed again = {};
	struct error ignored;

	steer_workers_set(&service->steer, slot, before);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e] &&
		    !slot_replace_row_has_cookie(before, newcomer->listeners[e]->cookie))
			steer_members_remove(&service->steer, newcomer->listeners[e]->cookie);
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (!before->cookies[e])
			steer_socks_clear(&service->steer, e, slot);
	observe(service, OBSERVE_KNOWN, &again, &ignored);
}

static int slot_replace_edit_draft(struct service *service, unsigned int slot, const char *label,
                                   struct rpd_schedule *draft, struct error *err)
{
	const struct slots slots = {.n = 1, .at = {slot}};
	int r = schedule_edit_fill_slot(draft, slot, label ? label : service->steer.service->label,
	                                err);

	return r < 0 || !label ? r : schedule_edit_set_label(draft, &slots, label, err);
}

/* If the newcomer's version is switched off, and it replaces the last worker of the other version,
 * all connections would be refused. */
static int slot_replace_check_served(const struct service *service,
                                     const struct rpd_schedule *draft, unsigned int slot,
                                     struct error *err)
{
	const struct rpd_schedule *in_force = steer_schedule(&service->steer);
	struct rpd_schedule before = *in_force, next = *draft;
	struct error ignored;

	schedule_build(&before);
	schedule_build(&next);
	if (schedule_edit_check_served(&before, &next, false, "", &ignored) == 0)
		return 0;
	return error_set(err, -EBUSY,
	                 "version '%s' is switched off, and without the worker in slot %u no "
	                 "worker of '%s' would be left to take connections; let all versions take "
	                 "them: `reuseportd switch %s --off`",
	                 draft->versions[draft->slots[slot].version].label, slot,
	                 in_force->versions[in_force->only_version].label, service->pins.service);
}

/* Empties the entries of endpoints where the former worker listened and the newcomer, if it is
 * another process, does not. */
static void slot_replace_clear_rest(struct service *service, unsigned int slot,
                                    const struct newcomer *newcomer,
                                    const struct rpd_worker *before)
{
	if (newcomer_is_in_row(newcomer, before))
		return;
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (!newcomer->listeners[e] && before->cookies[e])
			steer_socks_clear(&service->steer, e, slot);
}

int slot_replace_worker(struct service *service, unsigned int slot, const struct newcomer *newcomer,
                        const char *label, const char *what, struct error *err)
{
	struct rpd_schedule draft = *steer_schedule(&service->steer);
	struct rpd_worker before;
	int r = steer_workers_get(&service->steer, slot, &before);

	if (r < 0)
		return error_set(err, r, "can't read slot %u: %s", slot, strerror(-r));
	r = slot_replace_edit_draft(service, slot, label, &draft, err);
	if (r == 0 && draft.only_version != RPD_NO_VERSION)
		r = slot_replace_check_served(service, &draft, slot, err);
	if (r < 0)
		return r;
	r = admit(service, slot, newcomer, &draft, err);
	if (r == 0) {
		slot_replace_clear_rest(service, slot, newcomer, &before);
		r = slot_replace_commit(service, &draft, what, err);
	}
	if (r < 0)
		slot_replace_roll_back(service, slot, newcomer, &before);
	return r;
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
