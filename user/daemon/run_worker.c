/* SPDX-License-Identifier: BSD-2-Clause */
/* One worker's process tree: its start, what happens to it, its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/strv.h"
#include "daemon/admit.h"
#include "daemon/run.h"
#include "kern/cgroup.h"
#include "kern/listener.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/spawn.h"

#define FIRST_FREE_FD 3 /* as sd_listen_fds(3) has it */

struct run_plan *run_plan_new(const struct run_config *config)
{
	struct run_plan *plan = calloc(1, sizeof(*plan));

	if (!plan || run_config_copy(config, &plan->config) < 0) {
		free(plan);
		return NULL;
	}
	plan->refs = 1;
	return plan;
}

struct run_plan *run_plan_ref(struct run_plan *plan)
{
	plan->refs++;
	return plan;
}

void run_plan_unref(struct run_plan *plan)
{
	if (!plan || --plan->refs)
		return;
	run_config_free(&plan->config);
	free(plan);
}

/* --- its end */

static void describe_end(struct run_worker *w, const siginfo_t *info)
{
	w->ended_badly = info->si_code != CLD_EXITED || info->si_status;
	if (info->si_code == CLD_EXITED)
		snprintf(w->end, sizeof(w->end), "exit status %d", info->si_status);
	else
		snprintf(w->end, sizeof(w->end), "signal %s%s", format_signal(info->si_status),
		         info->si_code == CLD_DUMPED ? ", core dumped" : "");
}

/* What its failure may come of is told with it. */
static void add_refusal(struct run_worker *w)
{
	const size_t n = strlen(w->why);

	if (w->refused_port)
		snprintf(w->why + n, sizeof(w->why) - n,
		         "; it asked for an MPTCP socket on port %u and was "
		         "refused: " ADMIT_NO_MPTCP,
		         w->refused_port);
}

/* Of one that an earlier supervisor started nobody tells us how it ended. */
static int on_exit_of_main(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct run_worker *w = data;
	siginfo_t info = {};

	(void)events;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (waitid(P_PIDFD, fd, &info, WEXITED) == 0)
		describe_end(w, &info);
	w->exited = true;
	if (w->state == LIFE_STARTING || w->state == LIFE_SETTLING ||
	    (w->state == LIFE_UP && !w->up_at)) {
		snprintf(w->why, sizeof(w->why), "ended with %s before it %s",
		         w->end[0] ? w->end : "an unknown status",
		         w->state == LIFE_STARTING ? "was ready" : "had lived long enough");
		run_ready_note_rival(w);
	}
	if (w->state == LIFE_STARTING)
		add_refusal(w);
	run_worker_event(w, LIFE_EVENT_EXITED);
	return 0;
}

static int on_cgroup_event(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct run_worker *w = data;

	(void)source;
	(void)events;
	if (cgroup_is_populated(fd))
		return 0;
	/* The pidfd may be told of only after this: how it ended is worth knowing. */
	if (!w->exited && w->on_exit)
		on_exit_of_main(w->on_exit, w->pidfd, EPOLLIN, w);
	else
		run_worker_event(w, LIFE_EVENT_EMPTY);
	return 0;
}

static void unlink_worker(struct run_worker *w)
{
	struct run_worker **at = &w->sup->workers;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
}

static void worker_free(struct run_worker *w, bool remove_output)
{
	run_ready_end(w);
	sd_event_source_disable_unref(w->on_exit);
	sd_event_source_disable_unref(w->on_cgroup);
	sd_event_source_disable_unref(w->timer);
	output_free(w->output, remove_output);
	channel_free(w->channel);
	cleanup_close(&w->channel_worker_fd);
	cleanup_close(&w->events_fd);
	cleanup_close(&w->cgroup_fd);
	cleanup_close(&w->pidfd);
	run_plan_unref(w->plan);
	free(w);
}

void run_worker_forget(struct run_worker *w, bool ended)
{
	if (ended && w->output)
		output_flush(w->output);
	unlink_worker(w);
	worker_free(w, ended);
}

/* Nothing of it is left. */
static void release(struct run_worker *w)
{
	struct supervisor *sup = w->sup;

	if (w->output)
		output_flush(w->output);
	unlink_worker(w);
	cgroup_remove(sup->cgroup_path, w->cgroup_name);
	reload_note_gone(sup, w);
	worker_free(w, true);
	run_check_end(sup);
}

/* --- what happens to it */

static int on_timer(sd_event_source *source, uint64_t now, void *data);

int run_worker_arm(struct run_worker *w, int64_t ns, enum life_event event)
{
	int r;

	w->timer = sd_event_source_disable_unref(w->timer);
	r = sd_event_add_time_relative(w->sup->loop, &w->timer, CLOCK_MONOTONIC, ns / 1000, 1000,
	                               on_timer, w);
	if (r >= 0)
		sd_event_source_set_description(w->timer, event == LIFE_EVENT_SETTLED   ? "settle"
		                                          : event == LIFE_EVENT_DRAINED ? "drain"
		                                          : event == LIFE_EVENT_KILL    ? "kill"
		                                                                        : "late");
	return r;
}

/* Which time is over goes by the state: each has one. */
static int on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct run_worker *w = data;
	const struct run_config *config = &w->plan->config;
	uint64_t open;

	(void)source;
	(void)now;
	switch (w->state) {
	case LIFE_STARTING:
		if (w->why[0] == '\0')
			snprintf(w->why, sizeof(w->why), "was not ready within %g s",
			         (double)config->ready_timeout / NS_PER_S);
		add_refusal(w);
		run_worker_event(w, LIFE_EVENT_LATE);
		break;
	case LIFE_SETTLING:
		run_worker_event(w, LIFE_EVENT_SETTLED);
		break;
	case LIFE_DRAINING:
		run_drain_is_done(w, &open);
		if (open && open != UINT64_MAX)
			run_say(w->sup, "slot %u: pid %u still has %lu connections after %g s",
			        w->slot, w->pid, open, (double)config->drain_timeout / NS_PER_S);
		run_worker_event(w, LIFE_EVENT_DRAINED);
		break;
	case LIFE_STOPPING:
		run_say(w->sup, "slot %u: pid %u has not ended after %g s: SIGKILL", w->slot,
		        w->pid, (double)config->kill_timeout / NS_PER_S);
		run_worker_event(w, LIFE_EVENT_KILL);
		break;
	default:
		break;
	}
	return 0;
}

/* To all its processes, as systemd does: a shell around the program would not pass it on. */
static void signal_all(const struct run_worker *w, int signal)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	if (cgroup_processes(w->cgroup_fd, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		kill(pids[i], signal);
}

static void tell_drain(struct run_worker *w)
{
	const struct run_config *config = &w->plan->config;

	if (config->drain_message && w->channel)
		channel_send(w->channel, "drain");
	if (config->drain_signal)
		kill(w->pid, config->drain_signal);
}

static void tell_stop(struct run_worker *w)
{
	const struct run_config *config = &w->plan->config;

	if (!config->shutdown_message || !w->channel || channel_send(w->channel, "shutdown") < 0)
		signal_all(w, config->stop_signal);
}

/* And we are yet to be told of it. */
static bool has_just_ended(const struct run_worker *w)
{
	struct pollfd end = {.fd = w->pidfd, .events = POLLIN};

	return !w->exited && poll(&end, 1, 0) > 0;
}

static void come_up(struct run_worker *w)
{
	struct error err = {};

	if (run_place_admit(w, &err) < 0) {
		if (!has_just_ended(w)) /* else how it ended decides, as soon as that is heard */
			run_worker_fail(w, "%s", err.text);
		return;
	}
	w->up_at = clock_ns(CLOCK_MONOTONIC);
	w->withdrawn_at = 0;
	run_slot_admitted(w);
	run_ready_watch(w);
}

/* In the order of the enum. What comes last may free the worker. */
static void act(struct run_worker *w, unsigned int actions)
{
	const struct run_config *config = &w->plan->config;

	if (actions & LIFE_ARM_SETTLE)
		run_worker_arm(w, w->sup->slots[w->slot].current ? config->settle : 0,
		               LIFE_EVENT_SETTLED);
	if (actions & LIFE_TELL_DRAIN)
		tell_drain(w);
	if (actions & LIFE_ARM_DRAIN)
		run_worker_arm(w, config->drain_timeout, LIFE_EVENT_DRAINED);
	if (actions & LIFE_TELL_STOP)
		tell_stop(w);
	if (actions & LIFE_ARM_KILL)
		run_worker_arm(w, config->kill_timeout, LIFE_EVENT_KILL);
	if (actions & LIFE_KILL_TREE)
		cgroup_kill(w->cgroup_fd);
	if (actions & (LIFE_FAILED | LIFE_DIED))
		run_slot_lost(w);
	if (actions & LIFE_ADMIT)
		come_up(w);
	if (actions & LIFE_RELEASE)
		release(w);
}

void run_worker_event(struct run_worker *w, enum life_event event)
{
	enum life_state before = w->state;
	struct life_step step = life_step(before, event);

	w->state = step.next;
	if (step.next != before) {
		w->timer = sd_event_source_disable_unref(w->timer);
		if (step.next != LIFE_UP && step.next != LIFE_SETTLING)
			run_ready_end(w);
		run_check_end(w->sup); /* who drains is looked at */
	}
	act(w, step.actions);
	/* That all have ended may have been told before that its main process has, or before it was
	 * of interest. */
	if (!(step.actions & LIFE_RELEASE) &&
	    (step.next == LIFE_KILLING || (step.next == LIFE_STOPPING && w->exited)) &&
	    !cgroup_is_populated(w->cgroup_fd))
		run_worker_event(w, LIFE_EVENT_EMPTY);
}

void run_worker_fail(struct run_worker *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->why, sizeof(w->why), format, args);
	va_end(args);
	run_worker_event(w, LIFE_EVENT_LATE);
}

struct run_worker *run_worker_of_pid(struct supervisor *sup, uint32_t pid)
{
	for (struct run_worker *w = sup->workers; w; w = w->next) {
		_cleanup_free_ uint32_t *pids = NULL;
		size_t n = 0;

		if (w->pid == pid)
			return w;
		cgroup_processes(w->cgroup_fd, &pids, &n);
		for (size_t i = 0; i < n; i++)
			if (pids[i] == pid)
				return w;
	}
	return NULL;
}

/* --- its start */

static void on_message(const char *text, void *data)
{
	struct run_worker *w = data;

	if (strcmp(text, "ready") != 0 || w->plan->config.ready != READY_MESSAGE)
		return;
	w->told_ready = true;
	run_ready_look(w);
}

static struct run_worker *worker_new(struct supervisor *sup, struct run_plan *plan)
{
	struct run_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->sup = sup;
	w->plan = run_plan_ref(plan);
	w->cgroup_fd = w->events_fd = w->pidfd = w->channel_worker_fd = -1;
	w->account = RPD_ACCOUNT_NONE;
	return w;
}

/* What both a started and an adopted one need: its cgroup is open. */
static int prepare(struct run_worker *w, struct error *err)
{
	char path[PATH_MAX], name[64], prefix[RPD_LABEL_MAX + 16];
	const struct run_config *config = &w->plan->config;

	w->cgroup_id = cgroup_id(w->cgroup_fd);
	w->events_fd = cgroup_events(w->cgroup_fd);
	if (w->events_fd < 0)
		return error_set(err, w->events_fd, "can't watch cgroup %s/%s: %s",
		                 w->sup->cgroup_path, w->cgroup_name, strerror(-w->events_fd));
	snprintf(name, sizeof(name), "out/%s", w->cgroup_name);
	supervisor_path(w->sup->name, name, path, sizeof(path));
	/* One that was taken over may have been started without files of its own. */
	if (config->out_file && config->error_file && access(path, F_OK) < 0)
		return 0;
	snprintf(prefix, sizeof(prefix), "%s.%u | ", w->sup->name, w->slot);
	return output_new(w->sup->loop, path, config->log == RUN_LOG_PREFIX ? prefix : NULL,
	                  w->cgroup_fd, &w->output, err);
}

/* The end of its main process, and of all. */
static int watch_end(struct run_worker *w, struct error *err)
{
	int r = sd_event_add_io(w->sup->loop, &w->on_exit, w->pidfd, EPOLLIN, on_exit_of_main, w);

	if (r >= 0)
		r = sd_event_add_io(w->sup->loop, &w->on_cgroup, w->events_fd, EPOLLPRI,
		                    on_cgroup_event, w);
	if (r >= 0) /* what it has still to say of itself comes first */
		r = sd_event_source_set_priority(w->on_exit, SD_EVENT_PRIORITY_NORMAL + 1);
	if (r >= 0)
		r = sd_event_source_set_priority(w->on_cgroup, SD_EVENT_PRIORITY_NORMAL + 2);
	return r < 0 ? error_set(err, r, "can't watch pid %u: %s", w->pid, strerror(-r)) : 0;
}

struct start {
	struct spawn_fd fds[2 * RPD_ENDPOINT_MAX];
	size_t n;
	int opened[RPD_ENDPOINT_MAX + 2]; /* ours, to be closed afterwards */
	size_t n_opened;
};

static void give(struct start *start, int fd, int target)
{
	start->fds[start->n++] = (struct spawn_fd){.fd = fd, .target = target};
}

static void close_opened(struct start *start)
{
	for (size_t i = 0; i < start->n_opened; i++)
		cleanup_close(&start->opened[i]);
}

static int give_logs(struct run_worker *w, struct start *start, struct error *err)
{
	const char *const names[] = {w->plan->config.out_file, w->plan->config.error_file};

	for (int i = 0; i < 2; i++) {
		int fd = names[i] ? run_log_open(w, names[i], err) : output_worker_fd(w->output);

		if (fd < 0)
			return fd;
		if (names[i])
			start->opened[start->n_opened++] = fd;
		give(start, fd, STDOUT_FILENO + i);
	}
	return 0;
}

/* Of a port alone: all addresses, IPv4 too where IPv6 is on, as systemd's ListenStream= has it. */
static int open_listener(const struct rpd_endpoint *named, struct error *err)
{
	struct rpd_endpoint endpoint = *named;
	int fd;

	endpoint.uid = geteuid();
	if (endpoint.family)
		return listener_open(&endpoint, err);
	endpoint.family = AF_INET6;
	fd = listener_open(&endpoint, err);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	endpoint.family = AF_INET;
	return listener_open(&endpoint, err);
}

/* A listener of its own for each endpoint that was named. */
static int give_listeners(struct run_worker *w, struct start *start, struct error *err)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; config->pass_sockets && i < config->n_listens; i++) {
		int fd = open_listener(&config->listens[i], err);

		if (fd < 0)
			return fd;
		start->opened[start->n_opened++] = fd;
		fcntl(fd, F_SETFL, 0); /* blocking, as systemd's are */
		give(start, fd, FIRST_FREE_FD + i);
		sockdiag_cookie_of(fd, &w->fixed[w->n_fixed++]);
	}
	return 0;
}

/* Its descriptor of the channel; the next one is ours. */
static int channel_at(const struct run_config *config)
{
	return FIRST_FREE_FD + (config->pass_sockets ? config->n_listens : 0);
}

static int give_channel(struct run_worker *w, struct start *start, struct error *err)
{
	const struct run_config *config = &w->plan->config;
	int at = channel_at(config);
	int r;

	if (!run_env_has_channel(config))
		return 0;
	r = channel_new(w->sup->loop, on_message, w, &w->channel, &w->channel_worker_fd, err);
	if (r < 0)
		return r;
	give(start, w->channel_worker_fd, at);
	give(start, channel_fd(w->channel), at + 1); /* see channel.h */
	return 0;
}

static int start_it(struct run_worker *w, struct error *err)
{
	_cleanup_(close_opened) struct start start = {};
	const struct run_config *config = &w->plan->config;
	struct spawn_request request = {
	        .argv = config->argv,
	        .cwd = config->cwd,
	        .user = config->user,
	        .group = config->group,
	        .cgroup = w->cgroup_fd,
	        .listen_pid = config->pass_sockets,
	};
	char **env;
	int r = run_log_share(w, err);

	if (r >= 0)
		r = give_logs(w, &start, err);
	if (r >= 0)
		r = give_listeners(w, &start, err);
	if (r >= 0)
		r = give_channel(w, &start, err);
	if (r < 0)
		return r;
	env = run_env_new(w);
	if (!env || (w->channel && run_env_add_channel(&env, channel_at(config)) < 0)) {
		strv_free(env);
		return error_set(err, -ENOMEM, "out of memory");
	}
	request.env = env;
	request.fds = start.fds;
	request.n_fds = start.n;
	r = spawn(&request, &w->pidfd, err);
	strv_free(env);
	cleanup_close(&w->channel_worker_fd);
	w->channel_worker_fd = -1;
	if (r < 0)
		return r;
	w->pid = r;
	return 0;
}

/* Nothing is left of one that could not be started. */
static struct run_worker *take_back(struct run_worker *w)
{
	struct supervisor *sup = w->sup;
	char name[sizeof(w->cgroup_name)];

	strcpy(name, w->cgroup_name);
	if (w->cgroup_fd >= 0)
		cgroup_kill(w->cgroup_fd);
	worker_free(w, true);
	cgroup_remove(sup->cgroup_path, name);
	return NULL;
}

struct run_worker *run_worker_start(struct supervisor *sup, unsigned int slot,
                                    struct run_plan *plan, struct error *err)
{
	struct run_worker *w = worker_new(sup, plan);
	int r;

	if (!w) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	w->slot = slot;
	w->number = ++sup->last_number;
	w->state = LIFE_STARTING;
	snprintf(w->cgroup_name, sizeof(w->cgroup_name), "%u-%u", slot, w->number);
	w->cgroup_fd = cgroup_make(sup->cgroup_path, w->cgroup_name, err);
	r = w->cgroup_fd < 0 ? w->cgroup_fd : prepare(w, err);
	if (r >= 0)
		r = cgroup_limit(w->cgroup_fd, plan->config.memory_limit, plan->config.cpu_limit,
		                 err);
	if (r >= 0)
		r = start_it(w, err);
	if (r >= 0)
		r = watch_end(w, err);
	if (r < 0)
		return take_back(w);
	w->started_at = clock_ns(CLOCK_MONOTONIC);
	run_worker_arm(w, plan->config.ready_timeout, LIFE_EVENT_LATE);
	w->next = sup->workers;
	sup->workers = w;
	return w;
}

/* --- one that another supervisor started */

static int find_main(struct run_worker *w)
{
	_cleanup_free_ uint32_t *pids = NULL;
	struct process oldest;
	size_t n;
	int r = cgroup_processes(w->cgroup_fd, &pids, &n);

	if (r == 0)
		r = proc_oldest(pids, n, &oldest);
	if (r < 0)
		return r;
	w->pid = oldest.pid;
	w->pidfd = proc_open_pid(oldest.pid, oldest.start_time);
	return w->pidfd < 0 ? -ESRCH : 0;
}

struct run_worker *run_worker_adopt(struct supervisor *sup, const char *name, enum life_state state,
                                    struct error *err)
{
	struct run_worker *w = worker_new(sup, sup->plan);
	const struct run_config *config = &sup->plan->config;
	struct error ignored;
	int r;

	if (!w) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	w->state = state;
	snprintf(w->cgroup_name, sizeof(w->cgroup_name), "%s", name);
	w->cgroup_fd = cgroup_open(sup->cgroup_path, name);
	if (w->cgroup_fd < 0 || sscanf(name, "%u-%u", &w->slot, &w->number) != 2 ||
	    find_main(w) < 0)
		return take_back(w); /* nobody is in it any more */
	if (sup->last_number < w->number)
		sup->last_number = w->number;
	r = prepare(w, err);
	if (r >= 0)
		r = watch_end(w, err);
	if (r < 0) {
		worker_free(w, false);
		return NULL;
	}
	if (run_env_has_channel(config))
		channel_adopt(sup->loop, w->pid, channel_at(config) + 1, on_message, w, &w->channel,
		              &ignored);
	w->started_at = w->up_at = clock_ns(CLOCK_MONOTONIC);
	w->next = sup->workers;
	sup->workers = w;
	return w;
}
