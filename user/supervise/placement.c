/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/placement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "core/endpoint.h"
#include "core/ready_rule.h"
#include "core/roster.h"
#include "kern/cgroup.h"
#include "kern/events.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/admit.h"
#include "service/observe.h"
#include "service/schedule_commit.h"
#include "service/service_endpoint.h"
#include "service/service_lock.h"
#include "service/slot_flip.h"
#include "service/slot_replace.h"
#include "supervise/endpoints.h"
#include "supervise/report.h"
#include "supervise/worker_listeners.h"

/* --- into a slot */

/* The first listener of each endpoint of the service: the one with the lowest cookie. A program
 * that replaces its listener may have two for a moment. Returns in how many endpoints it listens.
 */
static size_t placement_choose_listeners(const struct service *service,
                                         const struct listener *listeners, size_t n,
                                         struct newcomer *ret)
{
	size_t chosen = 0;

	for (size_t i = 0; i < n; i++) {
		int e = service_endpoint_index(service, &listeners[i].endpoint);

		if (e < 0 || ret->listeners[e])
			continue;
		ret->listeners[e] = &listeners[i];
		chosen++;
	}
	return chosen;
}

/* A worker that listens on no endpoint of the service is known by its main process. */
static int placement_choose_main(const struct worker *w, struct newcomer *newcomer,
                                 struct error *err)
{
	struct holder *owner = &newcomer->owner;

	if (!newcomer->main.id.pid)
		return error_set(err, -ESRCH, "pid %u has ended", w->pid);
	*owner = (struct holder){
	        .id = newcomer->main.id, .ppid = newcomer->main.ppid, .fd = -1, .epfd = -1};
	memcpy(owner->comm, newcomer->main.comm, sizeof(owner->comm));
	return 0;
}

/* Chooses the process that serves the worker's listeners: it serves the first one, and must have
 * the others open as well. */
static int placement_choose_owner(struct newcomer *newcomer, const struct holder *holders, size_t n,
                                  struct error *err)
{
	const struct holder *owner = NULL;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		_cleanup_free_ struct holder *rows = calloc(n + 1, sizeof(*rows));
		size_t n_rows = 0;
		bool found = false;

		if (!rows)
			return error_set(err, -ENOMEM, "out of memory");
		if (!newcomer->listeners[e])
			continue;
		for (size_t h = 0; h < n; h++)
			if (holders[h].inode == newcomer->listeners[e]->inode)
				rows[n_rows++] = holders[h];
		if (!owner && roster_find_owner(rows, n_rows)) {
			newcomer->owner = *roster_find_owner(rows, n_rows);
			owner = &newcomer->owner;
		}
		for (size_t h = 0; owner && h < n_rows; h++)
			if (rows[h].id.pid == owner->id.pid) {
				newcomer->fds[e] = rows[h].fd;
				found = true;
			}
		if (!found)
			return error_set(err, -ESRCH,
			                 "no process of it has all its listeners open");
	}
	return owner ? 0 : error_set(err, -ESRCH, "no process of it has its listener open");
}

static int placement_find_newcomer(struct worker *w, const struct service *service,
                                   const struct listener *listeners, size_t n, struct newcomer *ret,
                                   struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n_pids = 0, n_holders = 0;
	int r;

	proc_identify(w->pid, &ret->main); /* no pid if the main process has just ended */
	if (n == 0 && !ready_rule_allows_no_listener(&w->plan->config))
		return error_set(err, -ENOENT, "it does not listen any more");
	if (!placement_choose_listeners(service, listeners, n, ret))
		return placement_choose_main(w, ret, err);
	r = cgroup_list_processes(w->cgroup_fd, &pids, &n_pids);
	if (r < 0)
		return error_set(err, r, "can't read cgroup %s: %s", w->cgroup_name, strerror(-r));
	r = proc_holders_find_among(pids, n_pids, listeners, n, &holders, &n_holders, err);
	if (r == -EBUSY || r == -EAGAIN)
		return PLACEMENT_LATER;
	return r < 0 ? r : placement_choose_owner(ret, holders, n_holders, err);
}

/* Copies what admit() has recorded of the worker. */
static int placement_remember_row(struct worker *w, const struct service *service,
                                  struct error *err)
{
	struct rpd_worker row;
	int r = steer_workers_get(&service->steer, w->slot, &row);

	if (r < 0)
		return error_set(err, r, "can't read slot %u: %s", w->slot, strerror(-r));
	memcpy(w->cookies, row.cookies, sizeof(w->cookies));
	w->generation = row.account;
	return 0;
}

/* Describes the worker as a newcomer, and adds endpoints for all its listeners. The newcomer points
 * into *ret_listeners, which the caller frees. */
static int placement_get_newcomer(struct worker *w, struct service *service,
                                  struct listener **ret_listeners, struct newcomer *ret,
                                  struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n = 0;
	int r = worker_listeners_look(w, &listeners, &n, err);

	if (r == 0)
		r = endpoints_add(w, w->state == WORKER_UP, err);
	if (r == ENDPOINTS_MORE)
		worker_listeners_ask_look(w);
	if (r >= 0)
		r = placement_find_newcomer(w, service, listeners, n, ret, err);
	if (r == 0)
		*ret_listeners = TAKE_PTR(listeners);
	return r;
}

/* The version that the slot gets with the worker. NULL: the slot keeps its version, which the user
 * may have set (`label`). */
static const char *placement_choose_label(const struct worker *w, const struct service *service)
{
	const struct rpd_slot *is = &steer_schedule(&service->steer)->slots[w->slot];
	const char *old = w->sup->slots[w->slot].old_label;

	if (w->withdrawn_at && w->label[0]) /* it returns to its slot */
		return w->label;
	if (is->state == RPD_SLOT_EMPTY || w->plan->relabel)
		return w->plan->config.label;
	return old[0] ? old : NULL;
}

/* Remembers the version of the worker that leaves its slot. */
static void placement_note_version(struct slot *it, const struct service *service)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct rpd_slot *is = &s->slots[it->number];

	if (it->current && is->state != RPD_SLOT_EMPTY)
		memcpy(it->current->label, s->versions[is->version].label,
		       sizeof(it->current->label));
}

/* Remembers the slot's label, in case its former worker is recalled. */
static void placement_note_label(const struct worker *w, const struct service *service)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	const struct rpd_slot *is = &s->slots[w->slot];
	struct slot *it = &w->sup->slots[w->slot];

	placement_note_version(it, service);
	if (w->plan->relabel && is->state != RPD_SLOT_EMPTY && it->old_label[0] == '\0')
		memcpy(it->old_label, s->versions[is->version].label, sizeof(it->old_label));
}

/* What is known of one worker of a flip. */
struct placement_entry {
	struct listener *listeners; /* that the newcomer points into */
	struct newcomer newcomer;
};

static void placement_free_entries(struct placement_entry *entries, size_t n)
{
	for (size_t i = 0; entries && i < n; i++)
		free(entries[i].listeners);
	free(entries);
}

/* The worker is in its slot. */
static int placement_note_admitted(struct worker *w, struct service *service,
                                   const struct newcomer *newcomer, struct error *err)
{
	struct slot *it = &w->sup->slots[w->slot];
	int r = placement_remember_row(w, service, err);

	if (r < 0)
		return r;
	if (!w->plan->relabel)
		it->old_label[0] = '\0';
	events_note(&service->steer, it->current ? RPD_EVENT_swapped : RPD_EVENT_admitted, w->slot,
	            newcomer->owner.id.pid, newcomer->owner.comm);
	return 0;
}

static int placement_put_in_slots(struct service *service, const struct placement_flip *flip,
                                  struct placement_entry *entries, struct error *err)
{
	_cleanup_free_ struct slot_flip_change *changes =
	        memory_need(calloc(flip->n + 1, sizeof(struct slot_flip_change)));

	for (size_t i = 0; i < flip->n; i++) {
		struct worker *w = flip->workers[i];

		placement_close_to_probes(w);
		placement_note_label(w, service);
		changes[i] = (struct slot_flip_change){.slot = w->slot,
		                                       .newcomer = &entries[i].newcomer,
		                                       .label = placement_choose_label(w, service)};
	}
	return slot_flip(service, changes, flip->n, flip->canaries, flip->permille, "run", err);
}

static int placement_flip_entries(struct service *service, const struct placement_flip *flip,
                                  struct placement_entry *entries, struct worker **ret_culprit,
                                  struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < flip->n; i++) {
		r = placement_get_newcomer(flip->workers[i], service, &entries[i].listeners,
		                           &entries[i].newcomer, err);
		if (r != 0 && ret_culprit)
			*ret_culprit = flip->workers[i];
	}
	if (r == 0)
		r = placement_put_in_slots(service, flip, entries, err);
	if (r == -EAGAIN)
		return PLACEMENT_LATER;
	for (size_t i = 0; r == 0 && i < flip->n; i++)
		r = placement_note_admitted(flip->workers[i], service, &entries[i].newcomer, err);
	return r;
}

int placement_flip(struct supervisor *sup, const struct placement_flip *flip,
                   struct worker **ret_culprit, struct error *err)
{
	struct placement_entry *entries = calloc(flip->n + 1, sizeof(*entries));
	_cleanup_service_lock_ struct service *service = NULL;
	int r;

	if (!entries)
		return error_set(err, -ENOMEM, "out of memory");
	r = service_lock(&sup->service, &service, err);
	if (r == 0)
		r = placement_flip_entries(service, flip, entries, ret_culprit, err);
	placement_free_entries(entries, flip->n);
	return r;
}

int placement_admit(struct worker *w, struct error *err)
{
	return placement_flip(w->sup, &(struct placement_flip){.workers = &w, .n = 1}, NULL, err);
}

/* Takes the listener out of the socket array's part for probes, because a socket can be in one
 * array only, and only once. */
void placement_close_to_probes(struct worker *w)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (!w->probing_listener || service_lock(&w->sup->service, &service, &ignored) < 0)
		return;
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		steer_socks_clear(&service->steer, e, RPD_SLOT_PROBE + w->probe_at);
	w->probing_listener = false;
}

static int placement_free_probe_index(const struct supervisor *sup, struct error *err)
{
	bool taken[RPD_PROBE_MAX] = {};

	for (const struct worker *w = sup->workers; w; w = w->next)
		if (w->probing_listener)
			taken[w->probe_at] = true;
	for (unsigned int i = 0; i < RPD_PROBE_MAX; i++)
		if (!taken[i])
			return i;
	return error_set(err, -EBUSY, "%u other workers are being probed at the same time",
	                 RPD_PROBE_MAX);
}

int placement_open_to_probes(struct worker *w, struct service *service, unsigned int *ret_endpoint,
                             unsigned int *ret_index, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_listener_ int fd = -1;
	struct newcomer newcomer = {};
	unsigned int e = 0;
	int r = placement_get_newcomer(w, service, &listeners, &newcomer, err);

	if (r != 0)
		return r < 0 ? r : -EAGAIN;
	while (e < RPD_ENDPOINT_MAX && !newcomer.listeners[e])
		e++;
	if (e == RPD_ENDPOINT_MAX)
		return error_set(err, -ENOENT,
		                 "most other workers don't listen where it does; name the port: "
		                 "--listen");
	*ret_endpoint = e;
	*ret_index = RPD_SLOT_PROBE + w->probe_at;
	if (w->probing_listener)
		return 0;
	r = placement_free_probe_index(w->sup, err);
	if (r < 0)
		return r;
	w->probe_at = r;
	*ret_index = RPD_SLOT_PROBE + w->probe_at;
	fd = proc_duplicate_fd(newcomer.owner.id.pid, newcomer.fds[e], newcomer.listeners[e]->inode,
	                       err);
	if (fd < 0)
		return fd;
	r = steer_socks_put(&service->steer, e, *ret_index, fd);
	if (r < 0)
		return error_set(err, r, "can't let probes reach pid %u: %s", w->pid, strerror(-r));
	w->probing_listener = true;
	return 0;
}

/* --- out of a slot */

int placement_forget_listener(struct worker *w, struct service *service, unsigned int endpoint,
                              struct error *err)
{
	struct rpd_worker row;
	int r = steer_workers_get(&service->steer, w->slot, &row);

	if (r == 0 && row.cookies[endpoint] == w->cookies[endpoint]) {
		row.cookies[endpoint] = 0;
		r = steer_workers_set(&service->steer, w->slot, &row);
	}
	if (r < 0)
		return error_set(err, r, "can't write slot %u: %s", w->slot, strerror(-r));
	w->cookies[endpoint] = 0;
	return 0;
}

int placement_withdraw(struct supervisor *sup, unsigned int slot, struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	int r = service_lock(&sup->service, &service, err);

	if (r < 0)
		return r;
	placement_note_version(&sup->slots[slot], service);
	return slot_replace_vacate(service, slot, err);
}

/* --- the slots */

void placement_note_run(struct supervisor *sup, unsigned int slot)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (service_lock(&sup->service, &service, &ignored) < 0)
		return;
	steer_workers_set_run(&service->steer, slot, sup->slots[slot].run, sup->slots[slot].ended,
	                      sup->slots[slot].restarts);
}

void placement_note_why(struct supervisor *sup, unsigned int slot, const char *why)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (service_lock(&sup->service, &service, &ignored) == 0)
		steer_workers_set_why(&service->steer, slot, why);
}

void placement_note_all_runs(struct supervisor *sup)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (service_lock(&sup->service, &service, &ignored) < 0)
		return;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		placement_note_run(sup, slot);
}

int placement_note_main(const struct worker *w, struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct rpd_worker row;
	struct process main;
	int r = service_lock(&w->sup->service, &service, err);

	if (r < 0)
		return r;
	r = steer_workers_get(&service->steer, w->slot, &row);
	if (r < 0)
		return error_set(err, r, "can't read slot %u: %s", w->slot, strerror(-r));
	if (proc_identify(w->pid, &main) < 0 ||
	    process_same(main.id, (struct process_id){row.main_pid, row.main_start}))
		return 0;
	row.main_pid = main.id.pid;
	row.main_start = main.id.start_time;
	memcpy(row.main_comm, main.comm, sizeof(row.main_comm));
	r = steer_workers_set(&service->steer, w->slot, &row);
	return r < 0 ? error_set(err, r, "can't write slot %u: %s", w->slot, strerror(-r)) : 0;
}

int placement_resize(struct supervisor *sup, unsigned int n, struct error *err)
{
	_cleanup_observed_ struct observed observed = {};
	_cleanup_service_lock_ struct service *service = NULL;
	struct rpd_schedule draft;
	int r = service_lock(&sup->service, &service, err);

	if (r == 0)
		r = observe(service, OBSERVE_KNOWN, &observed, err);
	if (r < 0)
		return r;
	schedule_commit_begin(service, &observed, &draft);
	for (unsigned int slot = n; slot < draft.n_slots; slot++)
		draft.slots[slot] =
		        (struct rpd_slot){.flags = draft.slots[slot].flags & RPD_SLOT_SECOND};
	draft.n_slots = n;
	service->steer.service->n_workers = n;
	return schedule_commit(service, &observed, &draft, true, "scale", err);
}
