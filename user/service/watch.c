/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "core/conn_count.h"
#include "core/process.h"
#include "core/schedule.h"
#include "kern/events.h"
#include "kern/listen_events.h"
#include "kern/proc.h"
#include "service/in_force_restore.h"
#include "service/observe.h"
#include "service/schedule_commit.h"
#include "service/service.h"
#include "service/watch_log.h"
#include "service/watch_newcomers.h"
#include "stream/log.h"

#define WATCH_PERIOD_US 1000000
#define WATCH_MARGIN_US 100000

/* Any process of the host may begin to listen on the port, on another address, over and over: then
 * at most this many updates in this time are due to that. None is omitted. */
#define WATCH_LISTENS    4
#define WATCH_LISTENS_US 500000

/* A process listens before it polls, and a pre-fork parent before its children do. For this time
 * after a process has begun to listen or has died, each update looks up again which process serves
 * each listener. */
#define WATCH_SETTLE_US 10000000

/* The process of a slot. */
struct watched {
	struct process_id id;
	uint64_t cookie;         /* of its listener */
	sd_event_source *source; /* its end */
	bool empty;              /* it is drained and empty, and the event has been noted */
};

struct watch {
	const char *name;
	sd_event *loop;
	struct listen_events *listens;
	struct watched slots[RPD_SLOT_MAX];
	uint64_t unsettled_until; /* CLOCK_MONOTONIC, microseconds */
	struct watch_newcomers newcomers;
	struct in_force_restore_report restored;
	struct error *err;
};

static int watch_on_death(sd_event_source *source, int fd, uint32_t events, void *data);

static uint64_t watch_first_cookie(const struct observed_slot *slot)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (slot->cookies[e])
			return slot->cookies[e];
	return 0;
}

/* Follows the process that each slot has now. */
static int watch_follow_processes(struct watch *w, const struct observed *o)
{
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++) {
		struct watched *it = &w->slots[slot];
		const struct rpd_worker *worker = slot < o->n_slots ? o->slots[slot].worker : NULL;
		bool live = worker && o->slots[slot].live;
		int fd, r;

		if (it->source && live && process_same(it->id, process_of_row(worker)))
			continue;
		if (live && it->source && it->id.pid != worker->pid &&
		    it->cookie == watch_first_cookie(&o->slots[slot]))
			watch_log(w->name, "slot %u: pid %u (%s) serves the listener of pid %u now",
			          slot, worker->pid, worker->comm, it->id.pid);
		it->source = sd_event_source_disable_unref(it->source);
		if (!live)
			continue;
		fd = proc_open_pidfd(process_of_row(worker));
		if (fd < 0)
			continue; /* it has ended: the next update finds that out */
		r = sd_event_add_io(w->loop, &it->source, fd, EPOLLIN, watch_on_death, w);
		if (r < 0) {
			close(fd);
			return error_set(w->err, r, "can't watch pid %u: %s", worker->pid,
			                 strerror(-r));
		}
		sd_event_source_set_io_fd_own(it->source, true);
		it->id = process_of_row(worker);
		it->cookie = watch_first_cookie(&o->slots[slot]);
	}
	return 0;
}

/* Notes the event when a drained worker has become empty. */
static void watch_note_empty(struct watch *w, struct service *service, const struct observed *o,
                             unsigned int slot)
{
	const struct rpd_worker *worker = o->slots[slot].worker;
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

/* Marks the slots in the draft that are dead, stalled or served again, and logs each change. */
static void watch_note_changes(struct watch *w, struct service *service, const struct observed *o,
                               struct rpd_schedule *draft)
{
	const struct rpd_schedule *in_force = steer_schedule(&service->steer);

	for (unsigned int slot = 0; slot < o->n_slots; slot++) {
		const struct rpd_worker *worker = o->slots[slot].worker;
		uint8_t before = in_force->slots[slot].flags;

		if (draft->slots[slot].flags & ~before & RPD_SLOT_DEAD)
			watch_log(w->name, "slot %u: pid %u (%s) has left", slot, worker->pid,
			          worker->comm);
		w->newcomers.has_room |= !o->slots[slot].live && !(before & RPD_SLOT_DEAD);
		if (o->slots[slot].stalled)
			draft->slots[slot].flags |= RPD_SLOT_STALLED;
		if (draft->slots[slot].flags & ~before & RPD_SLOT_STALLED) {
			watch_log(
			        w->name,
			        "slot %u: pid %u (%s) has died, but its listener is still open and "
			        "no process polls it: out of the ring",
			        slot, worker->pid, worker->comm);
			events_note(&service->steer, RPD_EVENT_stalled, slot, worker->pid,
			            worker->comm);
		}
		if (o->slots[slot].live &&
		    (before & ~draft->slots[slot].flags & RPD_SLOT_STALLED)) {
			watch_log(w->name,
			          "slot %u: pid %u (%s) polls its listener: back in the ring", slot,
			          worker->pid, worker->comm);
			events_note(&service->steer, RPD_EVENT_unstalled, slot, worker->pid,
			            worker->comm);
		}
		watch_note_empty(w, service, o, slot);
	}
}

static void watch_say_restored(const char *line, void *data)
{
	const struct watch *w = data;

	watch_log(w->name, "%s", line);
}

/* Observes the service, admits newcomers, and puts the changes in force. Returns SERVICE_OPEN if
 * that is done, SERVICE_NONE if the service was detached, SERVICE_LOCKED if another command is at
 * work, or a negative errno. */
static int watch_update(struct watch *w, enum observe_depth depth)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed o = {};
	struct rpd_schedule draft;
	struct error ignored;
	int r;

	service_init(&service);
	r = service_try_open(&service, w->name, w->err);
	if (r != SERVICE_OPEN)
		return r;
	/* A worker may be able to prevent that, but not to end the watcher; `status` shows it. */
	in_force_restore_once(&service, &w->restored, &ignored);
	r = observe(&service, depth, &o, w->err);
	if (r < 0)
		return r;
	schedule_commit_begin(&service, &o, &draft);
	watch_note_changes(w, &service, &o, &draft);
	r = watch_newcomers_admit(&w->newcomers, &service, &o, &draft);
	if (r < 0)
		return r;
	schedule_build(&draft);
	if (memcmp(&draft, steer_schedule(&service.steer), sizeof(draft)) != 0) {
		r = schedule_commit(&service, &o, &draft, true, "watch", w->err);
		observed_free(&o);
		if (r == 0) /* with the workers that were just admitted */
			r = observe(&service, OBSERVE_KNOWN, &o, w->err);
	}
	return r < 0 ? r : watch_follow_processes(w, &o);
}

static uint64_t watch_now_us(const struct watch *w)
{
	uint64_t now = 0;

	sd_event_now(w->loop, CLOCK_MONOTONIC, &now);
	return now;
}

/* Updates, and ends the loop if the service is gone or an error has occurred. */
static int watch_update_or_exit(struct watch *w)
{
	int r = watch_update(w, watch_now_us(w) < w->unsettled_until ? OBSERVE_UNCLEAR
	                                                             : OBSERVE_KNOWN);

	if (r == SERVICE_NONE) {
		watch_log(w->name, "detached");
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
	return watch_update_or_exit(w);
}

static int watch_on_listen(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct watch *w = data;

	listen_events_drain(w->listens);
	w->unsettled_until = watch_now_us(w) + WATCH_SETTLE_US;
	return watch_update_or_exit(w);
}

static int watch_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	sd_event_source_set_time(source, now + WATCH_PERIOD_US);
	return watch_update_or_exit(data);
}

static int watch_add_sources(struct watch *w)
{
	sd_event_source *timer = NULL, *listens = NULL;
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
		r = sd_event_add_io(w->loop, &listens, listen_events_fd(w->listens), EPOLLIN,
		                    watch_on_listen, w);
	if (r >= 0)
		r = sd_event_source_set_ratelimit(listens, WATCH_LISTENS_US, WATCH_LISTENS);
	if (r >= 0)
		r = sd_event_source_set_floating(listens, true);
	sd_event_source_unref(listens);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, &timer, CLOCK_MONOTONIC, WATCH_PERIOD_US,
		                               WATCH_MARGIN_US, watch_on_timer, w);
	if (r >= 0)
		r = sd_event_source_set_enabled(timer, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_source_set_floating(timer, true);
	sd_event_source_unref(timer);
	return r;
}

/* The port, which all endpoints of an attached service share. */
static int watch_find_port(const char *name, uint16_t *ret, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, name, err);
	if (r == 0 && service_is_run(&service))
		return error_set(err, -EPERM,
		                 "service '%s' belongs to `reuseportd run`: its supervisor admits "
		                 "its workers",
		                 name);
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

/* Makes the event loop with its sources. */
static int watch_prepare(struct watch *w)
{
	int r = sd_event_new(&w->loop);

	if (r >= 0)
		r = log_open(w->loop);
	if (r >= 0)
		r = watch_add_sources(w);
	return r < 0 ? error_set(w->err, r, "can't set up the event loop: %s", strerror(-r)) : 0;
}

/* The first update, which shows whether the service can be watched; then the loop. */
static int watch_run(struct watch *w)
{
	int r = watch_update(w, OBSERVE_UNCLEAR);

	if (r == SERVICE_NONE)
		return -ENOENT;
	if (r < 0)
		return r;
	/* A command that keeps the lock for long must not delay SIGTERM. */
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	sd_notify(0, "READY=1");
	watch_log(w->name, "watching");
	r = sd_event_loop(w->loop);
	sd_notify(0, "STOPPING=1");
	return r;
}

int watch(const char *name, watch_on_start on_start, void *data, struct error *err)
{
	struct watch w = {.name = name, .newcomers.err = err, .err = err};
	uint16_t port = 0;
	int r = watch_find_port(name, &port, err);

	w.restored = (struct in_force_restore_report){.say = watch_say_restored, .data = &w};
	if (r == 0)
		r = listen_events_new(port, &w.listens, err);
	if (r < 0)
		return r;
	r = watch_prepare(&w);
	if (r == 0)
		on_start(w.loop, data);
	if (r == 0)
		r = watch_run(&w);
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		sd_event_source_disable_unref(w.slots[slot].source);
	watch_newcomers_free(&w.newcomers);
	listen_events_free(w.listens);
	log_close(LOG_END_NS);
	sd_event_unref(w.loop);
	return r;
}
