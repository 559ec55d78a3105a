/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/admit.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "core/listener_owner.h"
#include "kern/proc.h"
#include "kern/steer.h"
#include "kern/steer_borrowed.h"
#include "kern/steer_members.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/generation.h"
#include "service/responses.h"
#include "service/service_in_force.h"

#define ADMIT_TRIES    100
#define ADMIT_PAUSE_NS 10000000

#ifndef ENOTSUPP
#define ENOTSUPP                                                                                   \
	524 /* the kernel's own: a socket array refuses sockets that are not TCP or UDP            \
	     */
#endif

struct admit_borrowed {
	int fds[RPD_ENDPOINT_MAX];
};

static void admit_close_borrowed(struct admit_borrowed *b)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		proc_close_listener(&b->fds[e]);
}

static int admit_borrow_listeners(const struct newcomer *newcomer, struct admit_borrowed *ret,
                                  struct error *err)
{
	struct proc_descriptor wanted[RPD_ENDPOINT_MAX];
	int fds[RPD_ENDPOINT_MAX];
	size_t n = 0;
	int r;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e])
			wanted[n++] = (struct proc_descriptor){newcomer->fds[e],
			                                       newcomer->listeners[e]->inode};
	r = n ? proc_duplicate_fds(newcomer->owner.id.pid, wanted, n, fds, err) : 0;
	n = 0;
	for (unsigned int e = 0; r == 0 && e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e])
			ret->fds[e] = fds[n++];
	return r;
}

/* Whether the newcomer is in the slot already: then it only has other listeners. */
static bool admit_is_in_place(const struct observed *before, unsigned int slot,
                              const struct newcomer *newcomer, const struct rpd_worker *former)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX && slot < before->n_slots; e++)
		if (newcomer->listeners[e] &&
		    before->slots[slot].cookies[e] == newcomer->listeners[e]->cookie)
			return true;
	return newcomer_is_in_row(newcomer, former);
}

/* The row of the newcomer, which replaces row @former. */
static struct rpd_worker admit_make_row(struct service *service, const struct observed *before,
                                        unsigned int slot, const struct newcomer *newcomer,
                                        const struct rpd_worker *former)
{
	struct rpd_worker worker = *former;

	/* The same process, with one more listener, keeps those that it has. */
	if (!newcomer_is_in_row(newcomer, former))
		worker = (struct rpd_worker){.admitted_at = time(NULL),
		                             .admitted_ns = clock_ns(CLOCK_MONOTONIC),
		                             .account = generation_choose(service, &before->members,
		                                                          slot, former, newcomer),
		                             .run = service_is_run(service) ? RPD_RUN_UP
		                                                            : former->run,
		                             .restarts = former->restarts};
	listener_owner_note(&worker, &newcomer->owner);
	worker.main_pid = newcomer->main.id.pid;
	worker.main_start = newcomer->main.id.start_time;
	memcpy(worker.main_comm, newcomer->main.comm, sizeof(worker.main_comm));
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e])
			worker.cookies[e] = newcomer->listeners[e]->cookie;
	return worker;
}

/* Whether the listener was never in force. A service that is being made has no others. */
static bool admit_is_new_member(const struct service *service, const struct observed *before,
                                uint64_t cookie)
{
	return service->steer.service->stage == RPD_STAGE_READY &&
	       !steer_members_find(&before->members, cookie);
}

/* Records the worker and its listeners before a connection can be steered to them. The slot's row
 * comes first: an admitted listener that is in no slot and in no row is that of a former worker. */
static int admit_write_rows(struct service *service, const struct observed *before,
                            unsigned int slot, const struct rpd_worker *worker, bool in_place,
                            uint8_t version)
{
	int r = in_place ? steer_workers_set(&service->steer, slot, worker)
	                 : steer_workers_set_idle(&service->steer, slot, worker);

	for (unsigned int e = 0; r == 0 && e < RPD_ENDPOINT_MAX; e++) {
		const uint64_t cookie = worker->cookies[e];
		const struct rpd_member member = {
		        .slot = slot,
		        .version = version,
		        .endpoint = e,
		        .account = worker->account,
		        .pending = cookie && !in_place &&
		                   admit_is_new_member(service, before, cookie)};

		if (cookie)
			r = steer_members_set(&service->steer, cookie, &member);
	}
	return r;
}

static int admit_put_error(struct error *err, int r, unsigned int slot,
                           const struct newcomer *newcomer, unsigned int endpoint)
{
	char text[ENDPOINT_TEXT_MAX];
	const char *why;

	endpoint_format(&newcomer->listeners[endpoint]->endpoint, text, sizeof(text));
	if (r == -EBUSY)
		return error_set(err, r,
		                 "the listener of pid %u (%s) on %s is in use already, by a slot "
		                 "of a service or by another BPF program's map; if its pins were "
		                 "removed, restart the workers (their listeners), then attach",
		                 newcomer->owner.id.pid, newcomer->owner.comm, text);
	if (r == -EINVAL)
		why = "it was opened without SO_REUSEPORT, or no longer listens";
	else if (r == -EOPNOTSUPP || r == -ENOTSUPP)
		why = ADMIT_NO_MPTCP;
	else
		why = steer_borrowed_why(r);
	return error_set(err, r, "can't put the listener of pid %u (%s) on %s into slot %u: %s",
	                 newcomer->owner.id.pid, newcomer->owner.comm, text, slot, why);
}

/* Puts the listener into its slot. The kernel frees a socket array some time after its last pin is
 * gone, and until then a listener of the array can't be put into another one. So a service that is
 * made just after another one was removed has to try again. */
static int admit_put_listener(struct service *service, unsigned int endpoint, unsigned int slot,
                              bool in_place, int fd)
{
	const struct timespec pause = {.tv_nsec = ADMIT_PAUSE_NS};
	const bool making = service->steer.service->stage == RPD_STAGE_FILLING;

	for (int i = 0;; i++) {
		const int r = in_place ? steer_socks_put(&service->steer, endpoint, slot, fd)
		                       : steer_socks_put_idle(&service->steer, endpoint, slot, fd);

		if (r != -EBUSY || !making || i == ADMIT_TRIES)
			return r;
		nanosleep(&pause, NULL);
	}
}

/* A worker may have locked the program of its listener (SO_LOCK_FILTER). This does no harm if the
 * program is attached to the group already, by another listener. */
static int admit_attach_program(const struct service *service, unsigned int endpoint, int fd,
                                const struct newcomer *newcomer)
{
	const int r = steer_borrowed_attach(&service->steer, endpoint, fd, newcomer->owner.id.pid);
	struct in_force found;

	if (r != -EPERM)
		return r;
	service_in_force_read(service, &found);
	return found.state[endpoint] == IN_FORCE_OURS || found.state[endpoint] == IN_FORCE_UNUSED
	               ? 0
	               : r;
}

/* Puts the borrowed listeners into the slot's cell. */
static int admit_put_all(struct service *service, unsigned int slot,
                         const struct newcomer *newcomer, const struct admit_borrowed *borrowed,
                         bool in_place, struct error *err)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		int r = 0;

		if (borrowed->fds[e] < 0)
			continue;
		/* Skips the listeners in the array, because the kernel refuses to put them again.
		 */
		if (in_place &&
		    steer_socks_cookie(&service->steer, e, slot) == newcomer->listeners[e]->cookie)
			continue;
		/* A group has no program any more once its last member has closed: attach the
		 * program again. That comes before the put, because a command that finds the
		 * listener in its slot relies on the program. A service that is being made has no
		 * schedule yet to steer by. */
		if (service->steer.service->stage == RPD_STAGE_READY)
			r = admit_attach_program(service, e, borrowed->fds[e], newcomer);
		if (r == 0)
			r = admit_put_listener(service, e, slot, in_place, borrowed->fds[e]);
		if (r < 0)
			return admit_put_error(err, r, slot, newcomer, e);
	}
	return 0;
}

/* Takes out the listeners that are not in the slot's row any more. */
static void admit_clear_rest(struct service *service, unsigned int slot,
                             const struct rpd_worker *former, const struct rpd_worker *worker)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (former->cookies[e] && !worker->cookies[e])
			steer_socks_clear(&service->steer, e, slot);
}

static bool admit_has_listener(const struct rpd_worker *worker)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (worker->cookies[e])
			return true;
	return false;
}

/* Reads the row only if it is not that of a slot which has been observed. */
static int admit_read_row(const struct service *service, const struct observed *before,
                          unsigned int slot, struct rpd_worker *ret)
{
	if (slot >= before->n_slots)
		return steer_workers_get(&service->steer, slot, ret);
	*ret = *before->slots[slot].worker;
	return 0;
}

int admit(struct service *service, const struct observed *before, unsigned int slot,
          const struct newcomer *newcomer, struct rpd_schedule *draft, struct error *err)
{
	_cleanup_(admit_close_borrowed) struct admit_borrowed borrowed;
	struct rpd_slot *it = &draft->slots[slot];
	struct rpd_worker former, worker;
	bool in_place;
	int r;

	memset(borrowed.fds, -1, sizeof(borrowed.fds));
	r = admit_borrow_listeners(newcomer, &borrowed, err);
	if (r < 0)
		return r;
	r = admit_read_row(service, before, slot, &former);
	if (r < 0)
		return error_set(err, r, "can't read slot %u: %s", slot, strerror(-r));
	in_place = admit_is_in_place(before, slot, newcomer, &former);
	worker = admit_make_row(service, before, slot, newcomer, &former);
	responses_set_version(service, worker.account, draft->versions[it->version].label);
	r = admit_write_rows(service, before, slot, &worker, in_place, it->version);
	if (r == -E2BIG)
		return error_set(err, r,
		                 "can't admit pid %u to slot %u: a service has at most %d "
		                 "listeners, those of former workers included",
		                 newcomer->owner.id.pid, slot, RPD_MEMBER_MAX);
	if (r < 0)
		return error_set(err, r, "can't write slot %u: %s", slot, strerror(-r));
	r = admit_put_all(service, slot, newcomer, &borrowed, in_place, err);
	if (r < 0)
		return r;
	if (in_place)
		admit_clear_rest(service, slot, &former, &worker);
	else
		it->flags ^= RPD_SLOT_SECOND;
	it->generation = worker.account / RPD_SLOT_MAX;
	if (!admit_has_listener(&worker))
		it->flags |= RPD_SLOT_DEAD;
	return 0;
}

static void admit_undo_members(struct service *service, const struct observed *before,
                               const struct newcomer *newcomer)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		const uint64_t cookie = newcomer->listeners[e] ? newcomer->listeners[e]->cookie : 0;
		const struct rpd_member *was = steer_members_find(&before->members, cookie);

		if (was)
			steer_members_set(&service->steer, cookie, was);
		else if (cookie)
			steer_members_remove(&service->steer, cookie);
	}
}

void admit_undo(struct service *service, const struct observed *before, unsigned int slot,
                const struct newcomer *newcomer)
{
	const struct rpd_worker *row = slot < before->n_slots ? before->slots[slot].worker : NULL;

	admit_undo_members(service, before, newcomer);
	if (!row || !admit_is_in_place(before, slot, newcomer, row)) {
		steer_socks_clear_idle(&service->steer, slot);
		return;
	}
	steer_workers_set(&service->steer, slot, row);
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (!row->cookies[e])
			steer_socks_clear(&service->steer, e, slot);
}
