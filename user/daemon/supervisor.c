/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/control.h"
#include "daemon/log.h"
#include "daemon/orphans.h"
#include "daemon/run.h"
#include "kern/cgroup.h"
#include "kern/pins.h"
#include "kern/spawn.h"

/* All services that this process runs. */
struct supervisors {
	sd_event *loop;
	struct supervisor **list;
	size_t n;
	char *const *self;
	bool told_ready, told_stopping; /* systemd */
	bool impatient;                 /* told to stop once more */
};

void run_say(struct supervisor *sup, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_line("%s: %s", sup->name, line);
	control_say(sup, line);
}

/* --- listeners are heard of */

static struct run_worker *worker_of_cgroup(struct supervisor *sup, uint64_t cgroup)
{
	for (struct run_worker *w = sup->workers; w; w = w->next)
		if (cgroup && w->cgroup_id == cgroup)
			return w;
	return NULL;
}

static void on_listen(const struct hook_listen *listen, void *data)
{
	struct run_worker *w = worker_of_cgroup(data, listen->cgroup);

	if (!w)
		return;
	if (listen->refused) {
		w->refused_port = listen->port;
		return;
	}
	if (w->refused_port == listen->port) /* it has fallen back to TCP */
		w->refused_port = 0;
	run_ready_heard(w, listen->cookie, listen->fixed);
}

/* Some were not heard of, or are of a cgroup below a worker's: who isn't ready is looked at. */
static void look_at_all(struct supervisor *sup)
{
	struct run_worker *next;

	for (struct run_worker *w = sup->workers; w; w = next) {
		next = w->next;
		run_ready_look(w);
	}
}

static int on_hook(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct supervisor *sup = data;

	(void)source;
	(void)fd;
	(void)events;
	if (hook_drain(sup->hook, on_listen, sup) > 0)
		look_at_all(sup);
	return 0;
}

static void on_notify(uint32_t pid, void *data)
{
	struct run_worker *w = run_worker_of_pid(data, pid);

	if (!w)
		return;
	w->told_ready = true;
	run_ready_look(w);
}

/* --- the end */

void run_stop_all(struct supervisor *sup)
{
	bool again = sup->stopping;
	struct run_worker *next;

	sup->stopping = true;
	reload_drop(sup);
	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++) {
		struct run_slot *it = &sup->slots[slot];

		it->timer = sd_event_source_disable_unref(it->timer);
		it->current = it->next = NULL;
	}
	run_say(sup, again ? "killing what is left" : "stopping");
	parking_close(&sup->parking);
	for (struct run_worker *w = sup->workers; w; w = next) {
		next = w->next;
		run_worker_event(w, again ? LIFE_EVENT_KILL : LIFE_EVENT_STOP);
	}
	run_check_end(sup);
}

/* Nobody is in any slot, and nobody will be. */
static bool has_come_to_nothing(const struct supervisor *sup)
{
	if (sup->reload)
		return false;
	if (!sup->plan->config.restart && sup->plan->config.cron_restart)
		return false;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		enum rpd_run run = sup->slots[slot].run;

		if (run != RPD_RUN_FAILED && (run != RPD_RUN_STOPPED || sup->plan->config.restart))
			return false;
	}
	return true;
}

bool run_goes_on(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++) {
		const struct supervisor *other = sup->all->list[i];

		if (!other->ended && !other->stopping && !has_come_to_nothing(other))
			return true;
	}
	return false;
}

/* Services that have failed wait for each other, and can be seen and started until then. */
static void check_others(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++)
		if (sup->all->list[i] != sup && !sup->all->list[i]->ended)
			run_check_end(sup->all->list[i]);
}

static bool has_failed_slot(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run == RPD_RUN_FAILED)
			return true;
	return false;
}

static void end(struct supervisor *sup)
{
	sup->status = has_failed_slot(sup) ? EXIT_REFUSED : EXIT_OK;
	run_say(sup, "stopped");
	run_remove(sup);
	sup->ended = true;
	check_others(sup);
}

static void announce(struct supervisor *sup)
{
	sup->announced = true;
	run_say(sup, "started: %u worker%s", sup->n_slots, sup->n_slots == 1 ? "" : "s");
}

static int on_change(sd_event_source *source, void *data)
{
	struct supervisor *sup = data;

	(void)source;
	control_check(sup);
	if (sup->stopping && !sup->workers) {
		end(sup);
		return 0;
	}
	if (!sup->stopping && has_come_to_nothing(sup)) {
		if (!sup->nothing_left)
			run_say(sup, "no worker is left that could be started");
		sup->nothing_left = sup->announced = true;
		if (run_goes_on(sup) && sup->plan->config.restart) /* a job is over when it is */
			return 0;
		run_stop_all(sup);
		check_others(sup);
		return 0;
	}
	sup->nothing_left = false;
	if (!sup->announced && !sup->stopping && run_slot_all_settled(sup))
		announce(sup);
	if (sup->announced && !sup->reload)
		malloc_trim(0); /* a start takes more than the months after it */
	run_look_arm(sup);
	return 0;
}

void run_check_end(struct supervisor *sup)
{
	if (sup->on_change)
		sd_event_source_set_enabled(sup->on_change, SD_EVENT_ONESHOT);
}

/* --- the beginning */

int run_prepare(struct supervisor *sup, const struct run_config *config, struct error *err)
{
	char path[PATH_MAX];

	if (sup->notify || config->ready != READY_NOTIFY)
		return 0;
	supervisor_path(sup->name, "notify", path, sizeof(path));
	return notify_new(sup->loop, path, on_notify, sup, &sup->notify, err);
}

static int start(struct supervisor *sup, struct error *err)
{
	int r = run_make(sup, err), taken = r;

	if (r >= 0)
		r = sd_event_add_io(sup->loop, &sup->on_hook, hook_fd(sup->hook), EPOLLIN, on_hook,
		                    sup);
	if (r >= 0) /* where it listens is heard before that it is ready, as it was done */
		r = sd_event_source_set_priority(sup->on_hook, SD_EVENT_PRIORITY_NORMAL - 1);
	if (r >= 0)
		r = run_prepare(sup, &sup->plan->config, err);
	if (r >= 0)
		r = control_new(sup, &sup->control, err);
	if (r >= 0)
		r = sd_event_add_defer(sup->loop, &sup->on_change, on_change, sup);
	if (r >= 0 && !taken)
		run_command_forget(sup); /* somebody else's, if it is there */
	if (r >= 0 && taken)
		r = run_takeover(sup, err);
	if (r >= 0 && taken && !sup->request->stop)
		r = run_kept_say(sup, err);
	if (r < 0)
		return r;
	if (sup->request->stop) {
		run_stop_all(sup);
		return 0;
	}
	for (unsigned int slot = 0; !taken && slot < sup->n_slots; slot++)
		run_place_note(sup, slot);
	run_slot_start_waiting(sup);
	run_place_park(sup);
	run_plan_changed(sup);
	return 0;
}

static struct supervisor *supervisor_new(const struct supervisors *all,
                                         const struct supervisor_request *request)
{
	struct supervisor *sup = calloc(1, sizeof(*sup));

	if (!sup)
		return NULL;
	sup->loop = all->loop;
	sup->request = request;
	sup->all = all;
	sup->cgroup_fd = -1;
	sup->plan = run_plan_new(request->config);
	if (!sup->plan) {
		free(sup);
		return NULL;
	}
	memcpy(sup->name, request->config->service, sizeof(sup->name));
	parking_init(&sup->parking);
	sup->n_slots = request->config->workers;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		sup->slots[slot] = (struct run_slot){.sup = sup, .number = slot};
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		sup->slots[slot].run = RPD_RUN_STARTING;
	return sup;
}

static void supervisor_free(struct supervisor *sup)
{
	reload_drop(sup);
	while (sup->workers)
		run_worker_forget(sup->workers, false);
	sd_event_source_disable_unref(sup->on_hook);
	sd_event_source_disable_unref(sup->on_change);
	sd_event_source_disable_unref(sup->park_timer);
	sd_event_source_disable_unref(sup->look_timer);
	sd_event_source_disable_unref(sup->cron_timer);
	hook_free(sup->hook);
	notify_free(sup->notify);
	control_free(sup->control, sup->status);
	parking_close(&sup->parking);
	cleanup_close(&sup->cgroup_fd);
	run_plan_unref(sup->plan);
	free(sup);
}

/* --- signals, for all */

static bool all_ended(const struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			return false;
	return true;
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct supervisors *all = data;

	(void)source;
	(void)info;
	all->impatient = all_ended(all);
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			run_stop_all(all->list[i]);
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct supervisors *all = data;

	(void)source;
	(void)info;
	for (size_t i = 0; i < all->n; i++) {
		struct error err = {};

		if (!all->list[i]->ended && control_reload(all->list[i], &err) < 0)
			run_say(all->list[i], "%s", err.text);
	}
	return 0;
}

/* That it is being stopped, or how far a reload is, who we then are would not know. */
static bool is_at_rest(struct supervisor *sup)
{
	if (sup->stopping)
		run_say(sup, "not executed anew: it is being stopped");
	else if (sup->reload)
		run_say(sup,
		        "not executed anew: workers are being replaced; send it again when "
		        "that is through");
	return !sup->stopping && !sup->reload;
}

/* Who we are to be reads the same files, and can't come back if they are wrong. */
static bool can_upgrade(struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];
		const struct supervisor_request *request = sup->request;
		struct run_config config = {};
		struct error err = {};

		if (sup->ended)
			continue;
		if (!is_at_rest(sup))
			return false;
		if (!request->reread)
			continue;
		if (request->reread(sup->name, &config, request->data, &err) < 0) {
			run_say(sup, "not executed anew, going on: %s", err.text);
			return false;
		}
		run_config_free(&config);
	}
	return true;
}

/* All that we have open is close-on-exec; who we then are takes over what we leave. */
static int on_upgrade(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct supervisors *all = data;

	(void)source;
	(void)info;
	if (!can_upgrade(all))
		return 0;
	log_line("reuseportd: executing %s anew", all->self[0]);
	spawn_restore_files();
	execvp(all->self[0], all->self);
	spawn_raise_files();
	log_line("reuseportd: can't execute %s: %s; going on", all->self[0], strerror(errno));
	return 0;
}

static int add_signals(struct supervisors *all)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {
	        {SIGTERM, on_stop},
	        {SIGINT, on_stop},
	        {SIGHUP, on_hangup},
	        {SIGUSR2, on_upgrade},
	};
	sigset_t set;
	int r = 0;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++)
		r = sd_event_add_signal(all->loop, NULL, signals[i].number, signals[i].handler,
		                        all);
	return r;
}

/* Whether a child is one that is waited for by its pidfd. */
static bool is_ours(uint32_t pid, void *data)
{
	const struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++)
		for (const struct run_worker *w = all->list[i]->workers; w; w = w->next)
			if ((w->pid == pid && !w->exited) ||
			    (w->probe && probe_pid(w->probe) == pid))
				return true;
	return false;
}

/* What systemd is told. That we are ready: when all workers have come up, or failed, of every
 * service; one that could not be started at all has ended, and the others need not wait for it. */
static void tell_systemd(struct supervisors *all)
{
	bool settled = true, serving = false;

	for (size_t i = 0; i < all->n; i++) {
		const struct supervisor *sup = all->list[i];

		settled &= sup->announced || sup->ended;
		serving |= !sup->stopping;
	}
	if (settled && serving && !all->told_ready) {
		all->told_ready = true;
		sd_notify(0, "READY=1");
	}
	if (!serving && !all->told_stopping) {
		all->told_stopping = true;
		sd_notify(0, "STOPPING=1");
	}
}

static int on_idle(sd_event_source *source, void *data)
{
	(void)source;
	tell_systemd(data);
	return 0;
}

/* Ends what was begun of the services, after a failure at the start. */
static void undo(struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];

		if (!sup->made)
			continue;
		run_cgroup_clear(sup);
		while (sup->workers)
			run_worker_forget(sup->workers, true);
		run_remove(sup);
	}
}

static int run_all(struct supervisors *all, const struct supervisor_request *requests, size_t n,
                   struct error *err)
{
	int status = EXIT_OK;
	bool waited = false; /* for our standard output */

	for (size_t i = 0; i < n; i++) {
		all->list[i] = supervisor_new(all, &requests[i]);
		if (!all->list[i])
			return error_set(err, -ENOMEM, "out of memory");
		all->n++;
	}
	for (size_t i = 0; i < n; i++) {
		int r = start(all->list[i], err);

		if (r < 0) {
			undo(all);
			return r;
		}
	}
	while (!all_ended(all) || (output_waits() && !all->impatient)) {
		int r;

		waited = all_ended(all);
		r = sd_event_run(all->loop, UINT64_MAX);
		if (r < 0)
			return error_set(err, r, "the event loop failed: %s", strerror(-r));
	}
	tell_systemd(all);
	output_give_up();
	for (size_t i = 0; i < n && waited; i++)
		run_remove_dir(all->list[i]);
	for (size_t i = 0; i < n; i++)
		if (all->list[i]->status != EXIT_OK)
			status = all->list[i]->status;
	return status;
}

static bool say_waiting(const char *service)
{
	log_line("reuseportd: waiting for another command on service '%s' to end", service);
	return true;
}

int supervise(const struct supervisor_request *requests, size_t n, struct error *err)
{
	struct supervisors all = {.self = requests[0].self};
	struct orphans *orphans = NULL;
	sd_event_source *idle = NULL;
	int r = sd_event_new(&all.loop);

	spawn_raise_files(); /* some five for each worker */
	all.list = calloc(n, sizeof(*all.list));
	if (r >= 0 && !all.list)
		r = -ENOMEM;
	if (r >= 0)
		r = log_open(all.loop);
	if (r >= 0)
		r = add_signals(&all);
	if (r >= 0)
		r = orphans_new(all.loop, is_ours, &all, &orphans);
	pins_set_waiting(say_waiting, PINS_PATIENCE_MS);
	if (r >= 0)
		r = sd_event_add_post(all.loop, &idle, on_idle, &all);
	if (r < 0)
		error_set(err, r, "can't set up the event loop: %s", strerror(-r));
	else
		r = run_all(&all, requests, n, err);
	sd_event_source_disable_unref(idle);
	orphans_free(orphans);
	for (size_t i = 0; i < all.n; i++)
		supervisor_free(all.list[i]);
	free(all.list);
	log_close(all.impatient ? 0 : LOG_END_NS);
	sd_event_unref(all.loop);
	return r;
}
