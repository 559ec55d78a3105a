/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/supervisor.h"

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
#include "supervise/control.h"
#include "stream/log.h"
#include "supervise/reaper.h"
#include "supervise/types.h"
#include "kern/cgroup.h"
#include "kern/pins.h"
#include "service/run_dir.h"
#include "kern/file_limit.h"

/* All services that this process runs. */
struct supervisors {
	sd_event *loop;
	struct supervisor **list;
	size_t n;
	char *const *self;
	bool told_ready, told_stopping; /* systemd */
	bool impatient;                 /* told to stop once more */
};

void supervisor_log(struct supervisor *sup, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_line("%s: %s", sup->name, line);
	control_log(sup, line);
}

/* --- listeners are heard of */

static struct worker *supervisor_worker_of_cgroup(struct supervisor *sup, uint64_t cgroup)
{
	for (struct worker *w = sup->workers; w; w = w->next)
		if (cgroup && w->cgroup_id == cgroup)
			return w;
	return NULL;
}

static void supervisor_on_listen(const struct hook_listen *listen, void *data)
{
	struct worker *w = supervisor_worker_of_cgroup(data, listen->cgroup);

	if (!w)
		return;
	if (listen->refused) {
		w->refused_port = listen->port;
		return;
	}
	if (w->refused_port == listen->port) /* it has fallen back to TCP */
		w->refused_port = 0;
	readiness_heard(w, listen->cookie, listen->fixed);
}

/* Some were not heard of, or are of a cgroup below a worker's: who isn't ready is looked at. */
static void supervisor_look_at_all(struct supervisor *sup)
{
	struct worker *next;

	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		readiness_look(w);
	}
}

static int supervisor_on_hook(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct supervisor *sup = data;

	if (hook_read_listens(sup->hook, supervisor_on_listen, sup) > 0)
		supervisor_look_at_all(sup);
	return 0;
}

static void supervisor_on_notify(uint32_t pid, void *data)
{
	struct worker *w = worker_of_pid(data, pid);

	if (!w)
		return;
	w->told_ready = true;
	readiness_look(w);
}

/* --- the end */

void supervisor_stop(struct supervisor *sup)
{
	bool again = sup->stopping;
	struct worker *next;

	sup->stopping = true;
	reload_drop(sup);
	sup->park_timer = sd_event_source_disable_unref(sup->park_timer);
	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++) {
		struct slot *it = &sup->slots[slot];

		it->timer = sd_event_source_disable_unref(it->timer);
		it->current = it->next = NULL;
	}
	supervisor_log(sup, again ? "killing what is left" : "stopping");
	parking_close(&sup->parking);
	for (struct worker *w = sup->workers; w; w = next) {
		next = w->next;
		worker_event(w, again ? WORKER_EVENT_KILL : WORKER_EVENT_STOP);
	}
	supervisor_check_soon(sup);
}

/* Nobody is in any slot, and nobody will be. */
static bool supervisor_has_come_to_nothing(const struct supervisor *sup)
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

bool supervisor_has_work(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++) {
		const struct supervisor *other = sup->all->list[i];

		if (!other->ended && !other->stopping && !supervisor_has_come_to_nothing(other))
			return true;
	}
	return false;
}

/* Services that have failed wait for each other, and can be seen and started until then. */
static void supervisor_check_others(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++)
		if (sup->all->list[i] != sup && !sup->all->list[i]->ended)
			supervisor_check_soon(sup->all->list[i]);
}

static bool supervisor_has_failed_slot(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run == RPD_RUN_FAILED)
			return true;
	return false;
}

static void supervisor_end(struct supervisor *sup)
{
	sup->status = supervisor_has_failed_slot(sup) ? EXIT_REFUSED : EXIT_OK;
	supervisor_log(sup, "stopped");
	setup_remove(sup);
	sup->ended = true;
	supervisor_check_others(sup);
}

static void supervisor_announce(struct supervisor *sup)
{
	sup->announced = true;
	supervisor_log(sup, "started: %u worker%s", sup->n_slots, sup->n_slots == 1 ? "" : "s");
}

static int supervisor_on_change(sd_event_source *source, void *data)
{
	struct supervisor *sup = data;

	control_check(sup);
	if (sup->stopping && !sup->workers) {
		supervisor_end(sup);
		return 0;
	}
	if (!sup->stopping && supervisor_has_come_to_nothing(sup)) {
		if (!sup->nothing_left)
			supervisor_log(sup, "no worker is left that could be started");
		sup->nothing_left = sup->announced = true;
		if (supervisor_has_work(sup) &&
		    sup->plan->config.restart) /* a job is over when it is */
			return 0;
		supervisor_stop(sup);
		supervisor_check_others(sup);
		return 0;
	}
	sup->nothing_left = false;
	if (!sup->announced && !sup->stopping && slot_all_settled(sup))
		supervisor_announce(sup);
	if (sup->announced && !sup->reload)
		malloc_trim(0); /* a start takes more than the months after it */
	timers_arm(sup);
	return 0;
}

void supervisor_check_soon(struct supervisor *sup)
{
	if (sup->on_change)
		sd_event_source_set_enabled(sup->on_change, SD_EVENT_ONESHOT);
}

/* --- the beginning */

int supervisor_prepare(struct supervisor *sup, const struct run_config *config, struct error *err)
{
	char path[PATH_MAX];

	if (sup->notify || config->ready != READY_NOTIFY)
		return 0;
	run_dir_path(sup->name, "notify", path, sizeof(path));
	return notify_new(sup->loop, path, supervisor_on_notify, sup, &sup->notify, err);
}

static int supervisor_start(struct supervisor *sup, struct error *err)
{
	int r = setup(sup, err), taken = r;

	if (r >= 0)
		r = sd_event_add_io(sup->loop, &sup->on_hook, hook_fd(sup->hook), EPOLLIN,
		                    supervisor_on_hook, sup);
	if (r >= 0) /* where it listens is heard before that it is ready, as it was done */
		r = sd_event_source_set_priority(sup->on_hook, SD_EVENT_PRIORITY_NORMAL - 1);
	if (r >= 0)
		r = supervisor_prepare(sup, &sup->plan->config, err);
	if (r >= 0)
		r = control_new(sup, &sup->control, err);
	if (r >= 0)
		r = sd_event_add_defer(sup->loop, &sup->on_change, supervisor_on_change, sup);
	if (r >= 0 && !taken)
		persisted_command_forget(sup); /* somebody else's, if it is there */
	if (r >= 0 && taken)
		r = takeover(sup, err);
	if (r >= 0 && taken && !sup->request->stop)
		r = config_drift_report(sup, err);
	if (r < 0)
		return r;
	if (sup->request->stop) {
		supervisor_stop(sup);
		return 0;
	}
	for (unsigned int slot = 0; !taken && slot < sup->n_slots; slot++)
		placement_note(sup, slot);
	slot_start_waiting(sup);
	placement_park(sup);
	timers_plan_changed(sup);
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
	sup->plan = plan_new(request->config);
	if (!sup->plan) {
		free(sup);
		return NULL;
	}
	memcpy(sup->name, request->config->service, sizeof(sup->name));
	parking_init(&sup->parking);
	sup->n_slots = request->config->workers;
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		sup->slots[slot] = (struct slot){.sup = sup, .number = slot};
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		sup->slots[slot].run = RPD_RUN_STARTING;
	return sup;
}

static void supervisor_free(struct supervisor *sup)
{
	reload_drop(sup);
	while (sup->workers)
		worker_forget(sup->workers, false);
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
	plan_unref(sup->plan);
	free(sup);
}

/* --- signals, for all */

static bool supervisor_all_ended(const struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			return false;
	return true;
}

static int supervisor_on_stop(sd_event_source *source, const struct signalfd_siginfo *info,
                              void *data)
{
	struct supervisors *all = data;

	all->impatient = supervisor_all_ended(all);
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			supervisor_stop(all->list[i]);
	return 0;
}

static int supervisor_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info,
                                void *data)
{
	struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++) {
		struct error err = {};

		if (!all->list[i]->ended && control_reload(all->list[i], &err) < 0)
			supervisor_log(all->list[i], "%s", err.text);
	}
	return 0;
}

/* That it is being stopped, or how far a reload is, who we then are would not know. */
static bool supervisor_is_at_rest(struct supervisor *sup)
{
	if (sup->stopping)
		supervisor_log(sup, "not executed anew: it is being stopped");
	else if (sup->reload)
		supervisor_log(sup,
		               "not executed anew: workers are being replaced; send it again when "
		               "that is through");
	return !sup->stopping && !sup->reload;
}

/* Who we are to be reads the same files, and can't come back if they are wrong. */
static bool supervisor_can_upgrade(struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];
		const struct supervisor_request *request = sup->request;
		struct run_config config = {};
		struct error err = {};

		if (sup->ended)
			continue;
		if (!supervisor_is_at_rest(sup))
			return false;
		if (!request->reread)
			continue;
		if (request->reread(sup->name, &config, request->data, &err) < 0) {
			supervisor_log(sup, "not executed anew, going on: %s", err.text);
			return false;
		}
		run_config_free(&config);
	}
	return true;
}

/* All that we have open is close-on-exec; who we then are takes over what we leave. */
static int supervisor_on_upgrade(sd_event_source *source, const struct signalfd_siginfo *info,
                                 void *data)
{
	struct supervisors *all = data;

	if (!supervisor_can_upgrade(all))
		return 0;
	log_line("reuseportd: executing %s anew", all->self[0]);
	file_limit_restore();
	execvp(all->self[0], all->self);
	file_limit_raise();
	log_line("reuseportd: can't execute %s: %s; going on", all->self[0], strerror(errno));
	return 0;
}

static int supervisor_add_signals(struct supervisors *all)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {
	        {SIGTERM, supervisor_on_stop},
	        {SIGINT, supervisor_on_stop},
	        {SIGHUP, supervisor_on_hangup},
	        {SIGUSR2, supervisor_on_upgrade},
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
static bool supervisor_is_ours(uint32_t pid, void *data)
{
	const struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++)
		for (const struct worker *w = all->list[i]->workers; w; w = w->next)
			if ((w->pid == pid && !w->exited) ||
			    (w->probe && health_probe_pid(w->probe) == pid))
				return true;
	return false;
}

/* What systemd is told. That we are ready: when all workers have come up, or failed, of every
 * service; one that could not be started at all has ended, and the others need not wait for it. */
static void supervisor_tell_systemd(struct supervisors *all)
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

static int supervisor_on_idle(sd_event_source *source, void *data)
{
	supervisor_tell_systemd(data);
	return 0;
}

/* Ends what was begun of the services, after a failure at the start. */
static void supervisor_undo(struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];

		if (!sup->made)
			continue;
		service_cgroup_clear(sup);
		while (sup->workers)
			worker_forget(sup->workers, true);
		setup_remove(sup);
	}
}

static int supervisor_run_all(struct supervisors *all, const struct supervisor_request *requests,
                              size_t n, struct error *err)
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
		int r = supervisor_start(all->list[i], err);

		if (r < 0) {
			supervisor_undo(all);
			return r;
		}
	}
	while (!supervisor_all_ended(all) || (output_is_pending() && !all->impatient)) {
		int r;

		waited = supervisor_all_ended(all);
		r = sd_event_run(all->loop, UINT64_MAX);
		if (r < 0)
			return error_set(err, r, "the event loop failed: %s", strerror(-r));
	}
	supervisor_tell_systemd(all);
	output_abandon();
	for (size_t i = 0; i < n && waited; i++)
		setup_remove_dir(all->list[i]);
	for (size_t i = 0; i < n; i++)
		if (all->list[i]->status != EXIT_OK)
			status = all->list[i]->status;
	return status;
}

static bool supervisor_say_waiting(const char *service)
{
	log_line("reuseportd: waiting for another command on service '%s' to end", service);
	return true;
}

int supervisor_run(const struct supervisor_request *requests, size_t n, struct error *err)
{
	struct supervisors all = {.self = requests[0].self};
	struct reaper *orphans = NULL;
	sd_event_source *idle = NULL;
	int r = sd_event_new(&all.loop);

	file_limit_raise(); /* some five for each worker */
	all.list = calloc(n, sizeof(*all.list));
	if (r >= 0 && !all.list)
		r = -ENOMEM;
	if (r >= 0)
		r = log_open(all.loop);
	if (r >= 0)
		r = supervisor_add_signals(&all);
	if (r >= 0)
		r = reaper_new(all.loop, supervisor_is_ours, &all, &orphans);
	pins_set_waiting(supervisor_say_waiting, PINS_PATIENCE_MS);
	if (r >= 0)
		r = sd_event_add_post(all.loop, &idle, supervisor_on_idle, &all);
	if (r < 0)
		error_set(err, r, "can't set up the event loop: %s", strerror(-r));
	else
		r = supervisor_run_all(&all, requests, n, err);
	sd_event_source_disable_unref(idle);
	reaper_free(orphans);
	for (size_t i = 0; i < all.n; i++)
		supervisor_free(all.list[i]);
	free(all.list);
	log_close(all.impatient ? 0 : LOG_END_NS);
	sd_event_unref(all.loop);
	return r;
}
