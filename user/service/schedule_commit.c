/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/schedule_commit.h"

#include <errno.h>
#include <string.h>

#include "core/schedule_edit.h"
#include "core/schedule.h"
#include "kern/grace.h"
#include "kern/steer_members.h"

void schedule_commit_begin(const struct service *service, const struct observed *observed,
                           struct rpd_schedule *ret_draft)
{
	*ret_draft = *steer_schedule(&service->steer);
	for (unsigned int slot = 0; slot < observed->n_slots; slot++) {
		struct rpd_slot *it = &ret_draft->slots[slot];

		it->flags &= ~RPD_SLOT_DEAD;
		if (!observed->slots[slot].live)
			it->flags |= RPD_SLOT_DEAD;
		if (!observed->slots[slot].stalled)
			it->flags &= ~RPD_SLOT_STALLED;
	}
}

static bool schedule_commit_is_in_a_slot(const struct observed *observed, uint64_t cookie)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		if (observed_is_in_slot(observed, slot, cookie))
			return true;
	return false;
}

/* Lets every admitted listener be found with its slot's version, and forgets those that are gone:
 * of a worker that was swapped out the listener is kept until it has closed, as its queue stays
 * with its version. What is in a slot is open, seen or not; and from where nothing can be seen,
 * nothing is known to be gone. */
static int schedule_commit_update_members(struct service *service, const struct observed *observed,
                                          const struct rpd_schedule *draft)
{
	uint64_t cookie, next;
	int r = 0;

	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
			const struct rpd_member want = {
			        .slot = slot,
			        .version = draft->slots[slot].version,
			        .endpoint = e,
			        .account = observed->slots[slot].worker.account};
			struct rpd_member is;

			cookie = observed->slots[slot].cookies[e];
			if (!cookie || (steer_members_get(&service->steer, cookie, &is) == 0 &&
			                !memcmp(&is, &want, sizeof(is))))
				continue;
			r = steer_members_set(&service->steer, cookie, &want);
			if (r < 0)
				return r;
		}
	if (!service->reachable)
		return 0;
	r = steer_members_next(&service->steer, NULL, &cookie);
	for (; r == 0; cookie = next) {
		r = steer_members_next(&service->steer, &cookie, &next);
		if (!observed_listener(observed, cookie) &&
		    !schedule_commit_is_in_a_slot(observed, cookie))
			steer_members_remove(&service->steer, cookie);
	}
	return r == -ENOENT ? 0 : r;
}

/* Whether schedule_edit_check_served() allows to put the built @draft in force, with what was
 * observed: a stalled worker serves nobody, whether a watcher has taken it out of the ring or not.
 */
static int schedule_commit_check_served(const struct observed *observed,
                                        struct rpd_schedule as_it_is, struct rpd_schedule draft,
                                        bool force, const char *what, struct error *err)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		if (observed->slots[slot].stalled) {
			as_it_is.slots[slot].flags |= RPD_SLOT_STALLED;
			draft.slots[slot].flags |= RPD_SLOT_STALLED;
		}
	return schedule_edit_check_served(&as_it_is, &draft, force, what, err);
}

/* All that can fail comes before the flip. */
int schedule_commit(struct service *service, const struct observed *observed,
                    struct rpd_schedule *draft, bool force, const char *what, struct error *err)
{
	_cleanup_grace_ struct grace grace = GRACE_NONE;
	struct rpd_schedule as_it_is;
	int r;

	schedule_commit_begin(service, observed, &as_it_is);
	schedule_build(&as_it_is);
	schedule_build(draft);
	r = schedule_commit_check_served(observed, as_it_is, *draft, force, what, err);
	if (r == 0)
		r = grace_prepare(&grace, err);
	if (r < 0)
		return r;
	r = schedule_commit_update_members(service, observed, draft);
	if (r < 0)
		return error_set(err, r, "can't note the versions of the listeners: %s",
		                 strerror(-r));
	steer_switch(&service->steer, draft);
	return grace_wait(&grace, err);
}
