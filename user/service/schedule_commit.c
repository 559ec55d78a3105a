/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/schedule_commit.h"

#include <errno.h>
#include <string.h>

#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "core/schedule_past.h"
#include "kern/conns.h"
#include "kern/steer.h"
#include "kern/steer_members.h"
#include "kern/steer_queues.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/responses.h"

void schedule_commit_note_observed(struct rpd_schedule *draft, const struct observed *observed)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++) {
		struct rpd_slot *it = &draft->slots[slot];

		it->generation = observed->slots[slot].worker->account / RPD_SLOT_MAX;
		it->flags &= ~RPD_SLOT_DEAD;
		if (!observed->slots[slot].live)
			it->flags |= RPD_SLOT_DEAD;
		if (!observed->slots[slot].stalled)
			it->flags &= ~RPD_SLOT_STALLED;
	}
}

void schedule_commit_begin(const struct service *service, const struct observed *observed,
                           struct rpd_schedule *ret_draft)
{
	*ret_draft = *steer_schedule(&service->steer);
	schedule_commit_note_observed(ret_draft, observed);
}

/* Gives every admitted listener the version and generation of its slot in map "members". */
static int schedule_commit_set_members(struct service *service, const struct observed *observed,
                                       const struct rpd_schedule *draft)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
			const uint64_t cookie = observed->slots[slot].cookies[e];
			const struct rpd_member want = {
			        .slot = slot,
			        .version = draft->slots[slot].version,
			        .endpoint = e,
			        .account = observed->slots[slot].worker->account};
			const struct rpd_member *is =
			        steer_members_find(&observed->members, cookie);
			int r;

			if (!cookie || (is && !memcmp(is, &want, sizeof(want))))
				continue;
			r = steer_members_set(&service->steer, cookie, &want);
			if (r < 0)
				return r;
		}
	return 0;
}

/* Deletes the members that have closed. The listener of a former worker stays a member until it
 * closes, as its accept queue belongs to its version. A listener in a slot is open even if
 * sock_diag did not list it. If the network namespace can't be entered, no listener is known to
 * have closed. */
static void schedule_commit_forget_closed(struct service *service, const struct observed *observed)
{
	for (size_t i = 0; service->reachable && i < observed->members.n; i++) {
		const uint64_t cookie = observed->members.list[i].cookie;

		if (!observed_listener(observed, cookie) && observed_slot_of(observed, cookie) < 0)
			steer_members_remove(&service->steer, cookie);
	}
}

/* Whether schedule_edit_check_served() allows the built @draft, with the observed stalled workers
 * left out: a stalled worker serves no client, whether a watcher has taken it out of the ring or
 * not. */
static int schedule_commit_check_served(const struct observed *observed, struct rpd_schedule before,
                                        struct rpd_schedule draft, bool force, const char *what,
                                        struct error *err)
{
	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		if (observed->slots[slot].stalled) {
			before.slots[slot].flags |= RPD_SLOT_STALLED;
			draft.slots[slot].flags |= RPD_SLOT_STALLED;
		}
	return schedule_edit_check_served(&before, &draft, force, what, err);
}

int schedule_commit_check_dealing(const struct service *service, const struct rpd_schedule *draft,
                                  struct error *err)
{
	if (draft->policy != RPD_LEAST_CONNECTIONS || service->conns.counting)
		return draft->stuck_after ? steer_queues_require(&service->steer, err) : 0;
	return error_set(err, -EOPNOTSUPP,
	                 "policy least-connections needs the counts of open connections, but these "
	                 "are not counted: %s",
	                 service->conns.why);
}

/* The listeners of the slot's worker are in force. */
static void schedule_commit_settle(struct service *service, unsigned int slot)
{
	struct rpd_member member;
	struct rpd_worker row;

	if (steer_workers_get(&service->steer, slot, &row) < 0)
		return;
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		if (!row.cookies[e] ||
		    steer_members_get(&service->steer, row.cookies[e], &member) < 0 ||
		    !member.pending)
			continue;
		member.pending = false;
		steer_members_set(&service->steer, row.cookies[e], &member);
	}
}

/* Takes the listeners of former workers out of their slots: only now does no run select them. */
static void schedule_commit_release(struct service *service, const struct rpd_schedule *before,
                                    const struct rpd_schedule *draft)
{
	for (unsigned int slot = 0; slot < draft->n_slots; slot++)
		if ((before->slots[slot].flags ^ draft->slots[slot].flags) & RPD_SLOT_SECOND) {
			schedule_commit_settle(service, slot);
			steer_socks_clear_idle(&service->steer, slot);
		}
	steer_socks_note_no_idle(&service->steer);
}

/* Policy least-connections is to come in force, and finds what it compares. */
static int schedule_commit_count_loads(struct service *service, struct error *err)
{
	if (!service->reachable)
		return error_set(err, -ENOENT,
		                 "policy least-connections needs the open connections of the "
		                 "workers, but their network namespace can't be entered, or is "
		                 "gone");
	return conns_count_loads(&service->conns, &service->steer, &service->grace, err);
}

static struct conn_count schedule_commit_read_count(const struct service *service,
                                                    const struct rpd_schedule *s, unsigned int slot)
{
	struct conn_count count;
	uint16_t account;

	return schedule_past_account(s, slot, &account) &&
	                       conns_read_count(&service->steer, account, &count) == 0
	               ? count
	               : (struct conn_count){};
}

/* Where workers or their versions change, the counts of the versions go on. */
static void schedule_commit_keep_past(const struct service *service,
                                      const struct rpd_schedule *before, struct rpd_schedule *draft)
{
	for (unsigned int slot = 0; service->conns.counting && slot < RPD_SLOT_MAX; slot++) {
		struct conn_count was, is;

		if (schedule_past_stays(before, draft, slot))
			continue;
		was = schedule_commit_read_count(service, before, slot);
		is = schedule_commit_read_count(service, draft, slot);
		schedule_past_change(before, draft, slot, &was, &is);
	}
}

/* All that can fail comes before the switch. */
int schedule_commit(struct service *service, const struct observed *observed,
                    struct rpd_schedule *draft, bool force, const char *what, struct error *err)
{
	struct rpd_schedule before;
	struct error ignored;
	int r;

	schedule_commit_begin(service, observed, &before);
	schedule_build(&before);
	schedule_build(draft);
	r = schedule_commit_check_served(observed, before, *draft, force, what, err);
	if (r == 0 && (draft->policy != before.policy || draft->stuck_after != before.stuck_after))
		r = schedule_commit_check_dealing(service, draft, err);
	if (r == 0)
		r = grace_prepare(&service->grace, err);
	if (r == 0 && draft->policy == RPD_LEAST_CONNECTIONS && before.policy != draft->policy)
		r = schedule_commit_count_loads(service, err);
	if (r < 0)
		return r;
	r = schedule_commit_set_members(service, observed, draft);
	if (r < 0)
		return error_set(err, r, "can't write the versions of the listeners: %s",
		                 strerror(-r));
	schedule_commit_forget_closed(service, observed);
	responses_set_versions(service, draft);
	responses_cover(service);
	schedule_commit_keep_past(service, &before, draft);
	steer_switch(&service->steer, draft);
	/* What is in force stays. Listeners that are left in idle cells are taken out by the next
	 * command (steer_socks_clear_all_idle()). */
	if (grace_wait(&service->grace, &ignored) < 0)
		return 0;
	steer_queues_forget_out_of_ring(&service->steer);
	schedule_commit_release(service, &before, draft);
	return 0;
}
