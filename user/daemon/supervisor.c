/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/cron.h"
#include "daemon/control.h"
#include "daemon/run.h"
#include "kern/cgroup.h"
#include "kern/spawn.h"

#define RUN_DIR "/run/reuseportd"

/* All services that this process runs. */
struct supervisors {
	sd_event *loop;
	struct supervisor **list;
	size_t n;
	char *const *self;
	bool impatient; /* told to stop once more */
};

void supervisor_path(const char *service, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, RUN_DIR "/%s%s%s", service, name ? "/" : "", name ? name : "");
}

void run_say(struct supervisor *sup, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "%s: %s\n", sup->name, line);
	control_say(sup, line);
}

/* --- what happens in time */

static bool wants_memory_looks(const struct supervisor *sup)
{
	for (const struct run_worker *w = sup->workers; w; w = w->next)
		if (w->plan->config.max_memory)
			return true;
	return false;
}

static bool has_draining(const struct supervisor *sup)
{
	for (const struct run_worker *w = sup->workers; w; w = w->next)
		if (w->state == LIFE_DRAINING)
			return true;
	return false;
}

static void look_at_memory(struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		struct run_worker *w = sup->slots[slot].current;
		uint64_t max = w ? w->plan->config.max_memory : 0;
		uint64_t is = max ? cgroup_memory(w->cgroup_fd) : 0;
		char why[128];

		if (is <= max)
			continue;
		snprintf(why, sizeof(why), "pid %u has %lu MB of memory, max-memory is %lu MB",
		         w->pid, is >> 20, max >> 20);
		run_slot_replace(sup, slot, why);
	}
}

static int on_look(sd_event_source *source, uint64_t now, void *data);

static void arm_look(struct supervisor *sup)
{
	int64_t ns = has_draining(sup)         ? RUN_DRAIN_LOOK_NS
	             : wants_memory_looks(sup) ? RUN_MEMORY_LOOK_NS
	                                       : 0;

	sup->look_timer = sd_event_source_disable_unref(sup->look_timer);
	if (ns)
		sd_event_add_time_relative(sup->loop, &sup->look_timer, CLOCK_MONOTONIC, ns / 1000,
		                           1000, on_look, sup);
}

static int on_look(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;
	struct run_worker *next;
	uint64_t open;

	(void)source;
	for (struct run_worker *w = sup->workers; w; w = next) {
		next = w->next;
		if (w->state == LIFE_DRAINING && run_drain_is_done(w, &open)) {
			run_say(sup, "slot %u: pid %u has no connection left", w->slot, w->pid);
			run_worker_event(w, LIFE_EVENT_DRAINED);
		}
	}
	if (now >= sup->memory_looked_at + RUN_MEMORY_LOOK_NS / 1000) {
		sup->memory_looked_at = now;
		look_at_memory(sup);
	}
	arm_look(sup);
	return 0;
}

static int on_cron(sd_event_source *source, uint64_t now, void *data);

static void arm_cron(struct supervisor *sup)
{
	const char *text = sup->plan->config.cron_restart;
	time_t now = time(NULL);
	struct error ignored;
	struct cron cron;
	struct tm tm;
	int64_t next;

	sup->cron_timer = sd_event_source_disable_unref(sup->cron_timer);
	if (!text || cron_parse(text, &cron, &ignored) < 0)
		return;
	localtime_r(&now, &tm);
	next = cron_next(&cron, now, tm.tm_gmtoff);
	if (next > 0)
		sd_event_add_time(sup->loop, &sup->cron_timer, CLOCK_REALTIME,
		                  (uint64_t)next * 1000000, 1000000, on_cron, sup);
}

void run_plan_changed(struct supervisor *sup)
{
	arm_cron(sup);
}

static void reload_all(struct supervisor *sup, struct run_plan *plan, const char *why)
{
	struct error err = {};
	struct slots slots;

	reload_slots(sup, &slots);
	run_say(sup, "reload: %s", why);
	if (slots.n && reload_begin(sup, &slots, plan, &err) < 0)
		run_say(sup, "%s", err.text);
}

static int on_cron(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;

	(void)source;
	(void)now;
	reload_all(sup, sup->plan, "it is time for cron-restart");
	arm_cron(sup);
	return 0;
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

	if (w)
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
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		enum rpd_run run = sup->slots[slot].run;

		if (run != RPD_RUN_FAILED && (run != RPD_RUN_STOPPED || sup->plan->config.restart))
			return false;
	}
	return true;
}

static bool has_failed_slot(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run == RPD_RUN_FAILED)
			return true;
	return false;
}

static void remove_run_dir(const struct supervisor *sup)
{
	char out[PATH_MAX];

	supervisor_path(sup->name, "out", out, sizeof(out));
	rmdir(out);
	rmdir(sup->run_dir);
	rmdir(RUN_DIR);
}

/* Removes all that is of the service. The pins last: as long as they are there the next `stop`, or
 * supervisor, knows that something may be left. */
static void remove_all(struct supervisor *sup)
{
	_cleanup_service_ struct service service;
	char path[PATH_MAX];
	struct error err = {};

	service_init(&service);
	parking_close(&sup->parking);
	if (sup->cgroup_fd >= 0)
		hook_detach(sup->cgroup_fd);
	run_cgroup_remove(sup);
	notify_free(sup->notify);
	sup->notify = NULL;
	if (sup->control)
		control_close(sup->control);
	supervisor_path(sup->name, "notify", path, sizeof(path));
	unlink(path);
	remove_run_dir(sup);
	if (service_open(&service, sup->name, &err) < 0 ||
	    service_remove(&service, false, &err) < 0)
		fprintf(stderr, "%s: %s\n", sup->name, err.text);
	control_free(sup->control, sup->status); /* who waits for the end is told when it is one */
	sup->control = NULL;
}

static void end(struct supervisor *sup)
{
	sup->status = has_failed_slot(sup) ? EXIT_REFUSED : EXIT_OK;
	run_say(sup, "stopped");
	remove_all(sup);
	sup->ended = true;
}

static void announce(struct supervisor *sup)
{
	sup->announced = true;
	run_say(sup, "started: %u workers", sup->n_slots);
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
	if (!sup->stopping && has_come_to_nothing(sup) && !sup->reload) {
		run_say(sup, "no worker is left that could be started");
		run_stop_all(sup);
		return 0;
	}
	if (!sup->announced && !sup->stopping && run_slot_all_settled(sup))
		announce(sup);
	arm_look(sup);
	return 0;
}

void run_check_end(struct supervisor *sup)
{
	if (sup->on_change)
		sd_event_source_set_enabled(sup->on_change, SD_EVENT_ONESHOT);
}

/* --- the beginning */

static int make_run_dir(struct supervisor *sup, struct error *err)
{
	char out[PATH_MAX];

	supervisor_path(sup->name, NULL, sup->run_dir, sizeof(sup->run_dir));
	supervisor_path(sup->name, "out", out, sizeof(out));
	if ((mkdir(RUN_DIR, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(sup->run_dir, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(out, 0755) < 0 && errno != EEXIST))
		return error_set(err, -errno, "can't make the run directory %s: %s", sup->run_dir,
		                 strerror(errno));
	return 0;
}

static int make_cgroup(struct supervisor *sup, bool taken_over, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	uint16_t ports[RPD_ENDPOINT_MAX];
	int r = run_cgroup_open(sup, taken_over, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < config->n_listens; i++)
		ports[i] = config->listens[i].port;
	r = hook_attach(sup->cgroup_fd, ports, config->n_listens, &sup->hook, err);
	if (r == 0)
		r = sd_event_add_io(sup->loop, &sup->on_hook, hook_fd(sup->hook), EPOLLIN, on_hook,
		                    sup);
	return r;
}

static uint32_t workers_uid(const struct run_config *config)
{
	const struct passwd *user;
	char *end;
	unsigned long number;

	if (!config->user || config->pass_sockets)
		return geteuid();
	user = getpwnam(config->user);
	if (user)
		return user->pw_uid;
	number = strtoul(config->user, &end, 10);
	return *end ? geteuid() : number;
}

/* Connections to an address that was named wait there from the start. Where workers that are free
 * to choose listen is known when the first of them does. */
static int open_named(struct supervisor *sup, struct service *service, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < config->n_listens; i++) {
		struct rpd_endpoint endpoint = config->listens[i];

		if (!endpoint.family)
			continue;
		endpoint.uid = workers_uid(config);
		r = service_add_endpoint(service, &endpoint, err);
	}
	if (r >= 0 && service->steer.service->n_endpoints)
		r = parking_open(&sup->parking, service, err);
	return r < 0 ? r : 0;
}

/* Makes the service, or takes it over. Returns 1 if it was taken over. */
static int make_service(struct supervisor *sup, struct error *err)
{
	const struct run_config *config = &sup->plan->config;
	const struct service_plan plan = {
	        .name = sup->name,
	        .workers = config->workers,
	        .policy = config->policy,
	        .label = config->label,
	        .max_conns = config->no_count ? 0 : RPD_CONNS_DEFAULT,
	};
	_cleanup_service_ struct service service;
	int r, taken;

	service_init(&service);
	taken = service_create(&service, &plan, err);
	if (taken < 0)
		return taken;
	sup->made = !taken; /* what was there before us is not ours to remove */
	r = taken ? parking_open(&sup->parking, &service, err) : open_named(sup, &service, err);
	return r < 0 ? r : taken;
}

static int start(struct supervisor *sup, struct error *err)
{
	char path[PATH_MAX];
	int r = make_service(sup, err), taken = r;

	if (r >= 0)
		r = make_run_dir(sup, err);
	if (r >= 0)
		r = make_cgroup(sup, taken, err);
	supervisor_path(sup->name, "notify", path, sizeof(path));
	if (r >= 0 && sup->plan->config.ready == READY_NOTIFY)
		r = notify_new(sup->loop, path, on_notify, sup, &sup->notify, err);
	if (r >= 0)
		r = control_new(sup, &sup->control, err);
	if (r >= 0)
		r = sd_event_add_defer(sup->loop, &sup->on_change, on_change, sup);
	if (r >= 0 && taken)
		r = run_takeover(sup, err);
	if (r < 0)
		return r;
	if (taken && sup->n_slots != sup->plan->config.workers)
		run_say(sup, "has %u workers, not %u; `reuseportd scale %s %u` changes that",
		        sup->n_slots, sup->plan->config.workers, sup->name,
		        sup->plan->config.workers);
	if (sup->request->stop) {
		run_stop_all(sup);
		return 0;
	}
	for (unsigned int slot = 0; !taken && slot < sup->n_slots; slot++)
		run_place_note(sup, slot);
	run_slot_start_waiting(sup);
	run_place_park(sup);
	arm_cron(sup);
	return 0;
}

static struct supervisor *supervisor_new(sd_event *loop, const struct supervisor_request *request)
{
	struct supervisor *sup = calloc(1, sizeof(*sup));

	if (!sup)
		return NULL;
	sup->loop = loop;
	sup->request = request;
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
	sd_notify(0, "STOPPING=1");
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

/* All that we have open is close-on-exec; who we then are takes over what we leave. */
static int on_upgrade(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct supervisors *all = data;

	(void)source;
	(void)info;
	fprintf(stderr, "reuseportd: executing %s anew\n", all->self[0]);
	spawn_restore_files();
	execvp(all->self[0], all->self);
	spawn_raise_files();
	fprintf(stderr, "reuseportd: can't execute %s: %s; going on\n", all->self[0],
	        strerror(errno));
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

/* What systemd is told: when every worker of every service has come up, or failed. */
static int on_idle(sd_event_source *source, void *data)
{
	struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->announced)
			return 0;
	sd_notify(0, "READY=1");
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
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
		remove_all(sup);
	}
}

static int run_all(struct supervisors *all, const struct supervisor_request *requests, size_t n,
                   struct error *err)
{
	int status = EXIT_OK;
	bool waited = false; /* for our standard output */

	for (size_t i = 0; i < n; i++) {
		struct supervisor *sup = supervisor_new(all->loop, &requests[i]);
		int r = sup ? 0 : error_set(err, -ENOMEM, "out of memory");

		if (sup) {
			all->list[all->n++] = sup;
			r = start(sup, err);
		}
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
	output_give_up();
	for (size_t i = 0; i < n && waited; i++)
		remove_run_dir(all->list[i]);
	for (size_t i = 0; i < n; i++)
		if (all->list[i]->status != EXIT_OK)
			status = all->list[i]->status;
	return status;
}

int supervise(const struct supervisor_request *requests, size_t n, struct error *err)
{
	struct supervisors all = {.self = requests[0].self};
	sd_event_source *idle = NULL;
	int r = sd_event_new(&all.loop);

	spawn_raise_files(); /* some five for each worker */
	all.list = calloc(n, sizeof(*all.list));
	if (r >= 0 && !all.list)
		r = -ENOMEM;
	if (r >= 0)
		r = add_signals(&all);
	if (r >= 0)
		r = sd_event_add_post(all.loop, &idle, on_idle, &all);
	if (r < 0)
		error_set(err, r, "can't set up the event loop: %s", strerror(-r));
	else
		r = run_all(&all, requests, n, err);
	sd_event_source_disable_unref(idle);
	for (size_t i = 0; i < all.n; i++)
		supervisor_free(all.list[i]);
	free(all.list);
	sd_event_unref(all.loop);
	return r;
}
