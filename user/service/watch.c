/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "core/schedule_edit.h"
#include "core/roster.h"
#include "core/schedule.h"
#include "service/admit.h"
#include "service/schedule_commit.h"
#include "stream/log.h"
#include "service/observe.h"
#include "service/service.h"
#include "kern/events.h"
#include "kern/listen_events.h"
#include "kern/proc.h"

#define WATCH_LOOK_US   1000000
#define WATCH_MARGIN_US 100000

/* A process listens before it polls, and a pre-fork parent before its children do. For so long
 * after one has begun to listen, or has died, each look finds out anew who serves what. */
#define WATCH_SETTLE_US 10000000

/* The process of a slot whose death we wait for. */
struct watched {
	uint32_t pid;
	uint64_t start_time;
	uint64_t cookie; /* of its listener */
	sd_event_source *source;
	bool empty; /* it is drained, and that nothing is left of it has been noted */
};

struct watch {
	const char *name;
	sd_event *loop;
	struct listen_events *listens;
	struct watched slots[RPD_SLOT_MAX];
	uint64_t unsettled_until; /* CLOCK_MONOTONIC, microseconds */
	uint64_t *seen; /* listeners of strangers that were looked at, and are not in a slot */
	size_t n_seen;
	bool has_room; /* a slot has become free since then */
	struct error *err;
};

__attribute__((format(printf, 2, 3))) static void watch_say(const struct watch *w,
                                                            const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	log_line("%s: %s", w->name, text ? text : "out of memory");
}

static int watch_on_death(sd_event_source *source, int fd, uint32_t events, void *data);

static uint64_t watch_first_cookie(const struct observed_slot *slot)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (slot->cookies[e])
			return slot->cookies[e];
	return 0;
}

/* Waits for the death of each slot's process, whoever that is now. */
static int watch_processes(struct watch *w, const struct observed *o)
{
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++) {
		struct watched *it = &w->slots[slot];
		const struct rpd_worker *worker = slot < o->n_slots ? &o->slots[slot].worker : NULL;
		bool live = worker && o->slots[slot].live;
		int fd, r;

		if (it->source && live && it->pid == worker->pid &&
		    it->start_time == worker->start_time)
			continue;
		if (live && it->source && it->pid != worker->pid &&
		    it->cookie == watch_first_cookie(&o->slots[slot]))
			watch_say(w, "slot %u: pid %u (%s) serves the listener of pid %u now", slot,
			          worker->pid, worker->comm, it->pid);
		it->source = sd_event_source_disable_unref(it->source);
		if (!live)
			continue;
		fd = proc_open_pidfd(worker->pid, worker->start_time);
		if (fd < 0)
			continue; /* dead already: seen at the next look */
		r = sd_event_add_io(w->loop, &it->source, fd, EPOLLIN, watch_on_death, w);
		if (r < 0) {
			close(fd);
			return error_set(w->err, r, "can't watch pid %u: %s", worker->pid,
			                 strerror(-r));
		}
		sd_event_source_set_io_fd_own(it->source, true);
		it->pid = worker->pid;
		it->start_time = worker->start_time;
		it->cookie = watch_first_cookie(&o->slots[slot]);
	}
	return 0;
}

/* The slot for one more worker: of one that died, else a new one; -1 if all are taken. */
static int watch_free_slot(const struct service *service, const struct observed *o,
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

/* The slot of a worker that has closed and opened again some of its listeners, which are the
 * newcomer's; -1 if it is not such a one. */
static int watch_own_slot(const struct observed *o, const struct newcomer *newcomer)
{
	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		const struct rpd_worker *worker = &o->slots[slot].worker;
		bool fits = o->slots[slot].live && worker->pid == newcomer->owner.pid &&
		            worker->start_time == newcomer->owner.start_time;

		for (unsigned int e = 0; fits && e < RPD_ENDPOINT_MAX; e++)
			fits = !newcomer->listeners[e] || !o->slots[slot].cookies[e];
		if (fits)
			return slot;
	}
	return -1;
}

/* The strangers as workers: those of one process in the different groups belong together. Who was
 * swapped out is not taken in again. */
static int watch_strangers_roster(const struct observed *o, struct listener **ret_listeners,
                                  struct roster *ret)
{
	_cleanup_free_ struct listener *listeners = calloc(o->n_strangers + 1, sizeof(*listeners));
	size_t n = 0;
	int r;

	if (!listeners)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_strangers; i++)
		if (!o->strangers[i].retired)
			listeners[n++] = *o->strangers[i].listener;
	r = roster_build(listeners, n, o->holders, o->n_holders, ret);
	if (r == 0)
		*ret_listeners = TAKE_PTR(listeners);
	return r;
}

/* Fills in @ret; returns in how many of the service's groups the worker listens. */
static size_t watch_to_newcomer(const struct service *service, const struct observed *o,
                                const struct listener *listeners,
                                const struct roster_worker *worker, size_t n_groups,
                                struct newcomer *ret)
{
	size_t n = 0;

	ret->owner = worker->owner;
	for (size_t g = 0; g < n_groups; g++) {
		const struct listener *listener;
		int e;

		if (worker->listeners[g] < 0)
			continue;
		listener = &listeners[worker->listeners[g]];
		e = observed_endpoint(service, listener);
		ret->listeners[e] = listener;
		for (size_t h = 0; h < o->n_holders; h++)
			if (o->holders[h].inode == listener->inode &&
			    o->holders[h].pid == worker->owner.pid)
				ret->fds[e] = o->holders[h].fd;
		n++;
	}
	return n;
}

static bool watch_was_seen(const struct watch *w, uint64_t cookie)
{
	for (size_t i = 0; i < w->n_seen; i++)
		if (w->seen[i] == cookie)
			return true;
	return false;
}

static bool watch_is_news(const struct watch *w, const struct newcomer *newcomer)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e] && !watch_was_seen(w, newcomer->listeners[e]->cookie))
			return true;
	return false;
}

static int watch_remember_seen(struct watch *w, const struct observed *o)
{
	uint64_t *seen = calloc(o->n_strangers + 1, sizeof(*seen));

	if (!seen)
		return error_set(w->err, -ENOMEM, "out of memory");
	free(w->seen);
	w->seen = seen;
	w->n_seen = 0;
	for (size_t i = 0; i < o->n_strangers; i++)
		seen[w->n_seen++] = o->strangers[i].listener->cookie;
	w->has_room = false;
	return 0;
}

/* Whether there is somebody to be taken in, or to be told of. Else who the strangers are need not
 * be looked up. */
static bool watch_has_news(const struct watch *w, const struct observed *o)
{
	for (size_t i = 0; i < o->n_strangers; i++)
		if (!o->strangers[i].retired &&
		    (w->has_room || !watch_was_seen(w, o->strangers[i].listener->cookie)))
			return true;
	return false;
}

/* Takes the newcomer in, or logs why not. */
static int watch_admit_stranger(struct watch *w, struct service *service,
                                const struct newcomer *newcomer, int slot,
                                struct rpd_schedule *draft)
{
	const struct holder *owner = &newcomer->owner;
	uint8_t dead = draft->slots[slot].flags & RPD_SLOT_DEAD;
	struct error why;
	int r = schedule_edit_fill_slot(draft, slot, service->steer.service->label, w->err);

	if (r < 0)
		return r;
	if (admit(service, slot, newcomer, draft->slots[slot].version, &why) < 0) {
		watch_say(w, "slot %d: %s", slot, why.text);
		draft->slots[slot].flags |= dead;
	} else {
		watch_say(w, "slot %d: admitted pid %u (%s)", slot, owner->pid, owner->comm);
		events_note(&service->steer, RPD_EVENT_admitted, slot, owner->pid, owner->comm);
	}
	return 0;
}

/* A worker that is in all groups gets a slot; one that listens anew in some of them, its own. One
 * that is not in all of them yet is looked at again when it is. */
static int watch_place_stranger(struct watch *w, struct service *service, const struct observed *o,
                                const struct newcomer *newcomer, bool complete,
                                struct rpd_schedule *draft)
{
	int slot = watch_own_slot(o, newcomer);

	if (slot < 0 && !complete)
		return 0;
	if (slot < 0)
		slot = watch_free_slot(service, o, draft);
	if (slot >= 0)
		return watch_admit_stranger(w, service, newcomer, slot, draft);
	if (watch_is_news(w, newcomer))
		watch_say(w,
		          "pid %u (%s) has joined, but all slots are taken: it gets no connection",
		          newcomer->owner.pid, newcomer->owner.comm);
	return 0;
}

static int watch_admit_strangers(struct watch *w, struct service *service, struct observed *o,
                                 struct rpd_schedule *draft)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct roster roster = {};
	int r;

	if (!watch_has_news(w, o))
		return 0;
	r = observe_strangers(o, w->err);
	if (r == 0 && watch_strangers_roster(o, &listeners, &roster) < 0)
		r = error_set(w->err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < roster.n_workers; i++) {
		struct newcomer newcomer = {};
		size_t n = watch_to_newcomer(service, o, listeners, &roster.workers[i],
		                             roster.n_groups, &newcomer);

		r = watch_place_stranger(w, service, o, &newcomer,
		                         n == service->steer.service->n_endpoints, draft);
	}
	roster_free(&roster);
	return r < 0 ? r : watch_remember_seen(w, o);
}

/* Notes that a drained worker has become empty. */
static void watch_note_empty(struct watch *w, struct service *service, const struct observed *o,
                             unsigned int slot)
{
	const struct rpd_worker *worker = &o->slots[slot].worker;
	bool draining = steer_schedule(&service->steer)->slots[slot].state == RPD_SLOT_DRAINING;
	struct conn_count count;

	if (!draining || !service->conns.counting ||
	    conns_read_count(&service->steer, worker->account, &count) < 0 ||
	    count.of[RPD_CONN_uncounted]) {
		w->slots[slot].empty = false;
		return;
	}
	if (conn_count_still_open(&count) == 0 && !w->slots[slot].empty)
		events_note(&service->steer, RPD_EVENT_empty, slot, worker->pid, worker->comm);
	w->slots[slot].empty = conn_count_still_open(&count) == 0;
}

/* Notes in the draft which slots have died or stalled, or are served again. */
static void watch_note_changes(struct watch *w, struct service *service, const struct observed *o,
                               struct rpd_schedule *draft)
{
	const struct rpd_schedule *in_force = steer_schedule(&service->steer);

	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		const struct rpd_worker *worker = &o->slots[slot].worker;
		uint8_t before = in_force->slots[slot].flags;

		if (draft->slots[slot].flags & ~before & RPD_SLOT_DEAD)
			watch_say(w, "slot %u: pid %u (%s) has left", slot, worker->pid,
			          worker->comm);
		w->has_room |= !o->slots[slot].live && !(before & RPD_SLOT_DEAD);
		if (o->slots[slot].stalled)
			draft->slots[slot].flags |= RPD_SLOT_STALLED;
		if (draft->slots[slot].flags & ~before & RPD_SLOT_STALLED) {
			watch_say(
			        w,
			        "slot %u: pid %u (%s) has died, but its listener is still open and "
			        "nobody polls it: out of the ring",
			        slot, worker->pid, worker->comm);
			events_note(&service->steer, RPD_EVENT_stalled, slot, worker->pid,
			            worker->comm);
		}
		if (o->slots[slot].live &&
		    (before & ~draft->slots[slot].flags & RPD_SLOT_STALLED)) {
			watch_say(w, "slot %u: pid %u (%s) polls its listener: back in the ring",
			          slot, worker->pid, worker->comm);
			events_note(&service->steer, RPD_EVENT_unstalled, slot, worker->pid,
			            worker->comm);
		}
		watch_note_empty(w, service, o, slot);
	}
}

/* One look: what is there is brought into force. */
static int watch_look(struct watch *w, enum observe_depth depth)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed o = {};
	struct rpd_schedule draft;
	int r;

	service_init(&service);
	r = service_open(&service, w->name, w->err);
	if (r == -EBUSY)
		return 0; /* a command has the lock: next time */
	if (r == 0)
		r = observe(&service, depth, &o, w->err);
	if (r < 0)
		return r;
	schedule_commit_begin(&service, &o, &draft);
	watch_note_changes(w, &service, &o, &draft);
	r = watch_admit_strangers(w, &service, &o, &draft);
	if (r < 0)
		return r;
	schedule_build(&draft);
	if (memcmp(&draft, steer_schedule(&service.steer), sizeof(draft)) != 0) {
		r = schedule_commit(&service, &o, &draft, true, "watch", w->err);
		observed_free(&o);
		if (r == 0) /* with those just admitted */
			r = observe(&service, OBSERVE_KNOWN, &o, w->err);
	}
	return r < 0 ? r : watch_processes(w, &o);
}

static uint64_t watch_now_us(const struct watch *w)
{
	uint64_t now = 0;

	sd_event_now(w->loop, CLOCK_MONOTONIC, &now);
	return now;
}

/* Looks, and ends the loop if that can't go on. */
static int watch_look_or_exit(struct watch *w)
{
	int r = watch_look(w,
	                   watch_now_us(w) < w->unsettled_until ? OBSERVE_UNCLEAR : OBSERVE_KNOWN);

	if (r == -ENOENT) {
		watch_say(w, "detached");
		sd_event_exit(w->loop, 0);
	} else if (r < 0) {
		sd_event_exit(w->loop, r);
	}
	return 0;
}

static int watch_on_death(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct watch *w = data;

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	w->unsettled_until = watch_now_us(w) + WATCH_SETTLE_US;
	return watch_look_or_exit(w);
}

static int watch_on_listen(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct watch *w = data;

	listen_events_drain(w->listens);
	w->unsettled_until = watch_now_us(w) + WATCH_SETTLE_US;
	return watch_look_or_exit(w);
}

static int watch_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	sd_event_source_set_time(source, now + WATCH_LOOK_US);
	return watch_look_or_exit(data);
}

static int watch_add_sources(struct watch *w)
{
	sd_event_source *timer = NULL;
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = sd_event_add_signal(w->loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_io(w->loop, NULL, listen_events_fd(w->listens), EPOLLIN,
		                    watch_on_listen, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &timer, CLOCK_MONOTONIC, WATCH_LOOK_US,
		                               WATCH_MARGIN_US, watch_on_timer, w);
	if (r >= 0)
		r = sd_event_source_set_enabled(timer, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_source_set_floating(timer, true);
	sd_event_source_unref(timer);
	return r;
}

/* The port that all endpoints of the service have. */
static int watch_find_port(const char *name, uint16_t *ret, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, name, err);
	if (r == 0 && service_is_run(&service))
		return error_set(err, -EPERM,
		                 "service '%s' is run: its supervisor takes its workers in", name);
	if (r == 0)
		*ret = service.steer.service->endpoints[0].port;
	return r;
}

int watch_check(struct error *err)
{
	struct listen_events *listens = NULL;
	int r = listen_events_new(0, &listens, err);

	listen_events_free(listens);
	return r;
}

int watch(const char *name, struct error *err)
{
	struct watch w = {.name = name, .err = err};
	uint16_t port = 0;
	int r = watch_find_port(name, &port, err);

	if (r == 0)
		r = listen_events_new(port, &w.listens, err);
	if (r < 0)
		return r;
	r = sd_event_new(&w.loop);
	if (r >= 0)
		r = log_open(w.loop);
	if (r >= 0)
		r = watch_add_sources(&w);
	if (r < 0)
		error_set(err, r, "can't set up the event loop: %s", strerror(-r));
	else
		r = watch_look(&w, OBSERVE_UNCLEAR);
	/* A command that has the lock for long is no reason to miss SIGTERM. */
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	if (r >= 0) {
		sd_notify(0, "READY=1");
		watch_say(&w, "watching");
		r = sd_event_loop(w.loop);
		sd_notify(0, "STOPPING=1");
	}
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		sd_event_source_disable_unref(w.slots[slot].source);
	free(w.seen);
	listen_events_free(w.listens);
	log_close(LOG_END_NS);
	sd_event_unref(w.loop);
	return r;
}
