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
#include "base/strv.h"
#include "service/admit.h"
#include "supervise/types.h"
#include "kern/cgroup.h"
#include "kern/own_listener.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "service/run_dir.h"
#include "kern/spawn.h"
#include "base/signal_name.h"
#include "kern/cgroup_limit.h"

#define FIRST_FREE_FD 3 /* as sd_listen_fds(3) has it */

struct plan *plan_new(const struct run_config *config)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	if (!plan || run_config_copy(config, &plan->config) < 0) {
		free(plan);
		return NULL;
	}
	plan->refs = 1;
	return plan;
}

struct plan *plan_ref(struct plan *plan)
{
	plan->refs++;
	return plan;
}

void plan_unref(struct plan *plan)
{
	if (!plan || --plan->refs)
		return;
	run_config_free(&plan->config);
	free(plan);
}

/* --- its end */

static void worker_describe_end(struct worker *w, const siginfo_t *info)
{
	char signal[SIGNAL_NAME_MAX];

	w->ended_badly = info->si_code != CLD_EXITED || info->si_status;
	if (info->si_code == CLD_EXITED)
		snprintf(w->end, sizeof(w->end), "exit status %d", info->si_status);
	else
		snprintf(w->end, sizeof(w->end), "signal %s%s",
		         signal_name_format(info->si_status, signal),
		         info->si_code == CLD_DUMPED ? ", core dumped" : "");
}

/* What its failure may come of is told with it. */
static void worker_add_refusal(struct worker *w)
{
	const size_t n = strlen(w->why);

	if (w->refused_port)
		snprintf(w->why + n, sizeof(w->why) - n,
		         "; it asked for an MPTCP socket on port %u and was "
		         "refused: " ADMIT_NO_MPTCP,
		         w->refused_port);
}

/* Of one that an earlier supervisor started nobody tells us how it ended. */
static int worker_on_exit_of_main(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;
	siginfo_t info = {};

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (waitid(P_PIDFD, fd, &info, WEXITED) == 0)
		worker_describe_end(w, &info);
	w->exited = true;
	if (w->state == WORKER_STARTING || w->state == WORKER_SETTLING ||
	    (w->state == WORKER_UP && !w->up_at)) {
		snprintf(w->why, sizeof(w->why), "ended with %s before it %s",
		         w->end[0] ? w->end : "an unknown status",
		         w->state == WORKER_STARTING ? "was ready" : "had lived long enough");
		readiness_note_rival(w);
	}
	if (w->state == WORKER_STARTING)
		worker_add_refusal(w);
	worker_event(w, WORKER_EVENT_EXITED);
	return 0;
}

static int worker_on_cgroup_event(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;

	if (cgroup_is_populated(fd))
		return 0;
	/* The pidfd may be told of only after this: how it ended is worth knowing. */
	if (!w->exited && w->on_exit)
		worker_on_exit_of_main(w->on_exit, w->pidfd, EPOLLIN, w);
	else
		worker_event(w, WORKER_EVENT_EMPTY);
	return 0;
}

static void worker_unlink_worker(struct worker *w)
{
	struct worker **at = &w->sup->workers;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
}

static void worker_free(struct worker *w, bool remove_output)
{
	readiness_end(w);
	sd_event_source_disable_unref(w->on_exit);
	sd_event_source_disable_unref(w->on_cgroup);
	sd_event_source_disable_unref(w->timer);
	output_free(w->output, remove_output);
	channel_free(w->channel);
	cleanup_close(&w->channel_worker_fd);
	cleanup_close(&w->events_fd);
	cleanup_close(&w->cgroup_fd);
	cleanup_close(&w->pidfd);
	plan_unref(w->plan);
	free(w);
}

void worker_forget(struct worker *w, bool ended)
{
	if (ended && w->output)
		output_finish(w->output);
	worker_unlink_worker(w);
	worker_free(w, ended);
}

/* Nothing of it is left. */
static void worker_release(struct worker *w)
{
	struct supervisor *sup = w->sup;

	if (w->output)
		output_finish(w->output);
	worker_unlink_worker(w);
	cgroup_remove(sup->cgroup_path, w->cgroup_name);
	reload_note_gone(sup, w);
	worker_free(w, true);
	supervisor_check_soon(sup);
}

/* --- what happens to it */

static int worker_on_timer(sd_event_source *source, uint64_t now, void *data);

int worker_arm(struct worker *w, int64_t ns, enum worker_event event)
{
	int r;

	w->timer = sd_event_source_disable_unref(w->timer);
	r = sd_event_add_time_relative(w->sup->loop, &w->timer, CLOCK_MONOTONIC, ns / 1000, 1000,
	                               worker_on_timer, w);
	if (r >= 0)
		sd_event_source_set_description(w->timer, event == WORKER_EVENT_SETTLED   ? "settle"
		                                          : event == WORKER_EVENT_DRAINED ? "drain"
		                                          : event == WORKER_EVENT_KILL    ? "kill"
		                                                                          : "late");
	return r;
}

/* Which time is over goes by the state: each has one. */
static int worker_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;
	const struct run_config *config = &w->plan->config;
	uint64_t open;

	switch (w->state) {
	case WORKER_STARTING:
		if (w->why[0] == '\0')
			snprintf(w->why, sizeof(w->why), "was not ready within %g s",
			         (double)config->ready_timeout / NS_PER_S);
		worker_add_refusal(w);
		worker_event(w, WORKER_EVENT_FAILED);
		break;
	case WORKER_SETTLING:
		worker_event(w, WORKER_EVENT_SETTLED);
		break;
	case WORKER_DRAINING:
		drain_check_is_done(w, &open);
		if (open && open != UINT64_MAX)
			supervisor_log(
			        w->sup, "slot %u: pid %u still has %lu connections after %g s",
			        w->slot, w->pid, open, (double)config->drain_timeout / NS_PER_S);
		worker_event(w, WORKER_EVENT_DRAINED);
		break;
	case WORKER_STOPPING:
		supervisor_log(w->sup, "slot %u: pid %u has not ended after %g s: SIGKILL", w->slot,
		               w->pid, (double)config->kill_timeout / NS_PER_S);
		worker_event(w, WORKER_EVENT_KILL);
		break;
	default:
		break;
	}
	return 0;
}

/* To all its processes, as systemd does: a shell around the program would not pass it on. */
static void worker_signal_all(const struct worker *w, int signal)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	if (cgroup_list_processes(w->cgroup_fd, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		kill(pids[i], signal);
}

static void worker_tell_drain(struct worker *w)
{
	const struct run_config *config = &w->plan->config;

	if (config->drain_message && w->channel)
		channel_send(w->channel, "drain");
	if (config->drain_signal)
		kill(w->pid, config->drain_signal);
}

static void worker_tell_stop(struct worker *w)
{
	const struct run_config *config = &w->plan->config;

	if (!config->shutdown_message || !w->channel || channel_send(w->channel, "shutdown") < 0)
		worker_signal_all(w, config->stop_signal);
}

/* And we are yet to be told of it. */
static bool worker_has_just_ended(const struct worker *w)
{
	struct pollfd end = {.fd = w->pidfd, .events = POLLIN};

	return !w->exited && poll(&end, 1, 0) > 0;
}

static void worker_come_up(struct worker *w)
{
	struct error err = {};

	if (placement_admit(w, &err) < 0) {
		if (!worker_has_just_ended(
		            w)) /* else how it ended decides, as soon as that is heard */
			worker_fail(w, "%s", err.text);
		return;
	}
	w->up_at = clock_ns(CLOCK_MONOTONIC);
	w->withdrawn_at = 0;
	slot_admitted(w);
	readiness_watch(w);
}

/* In the order of the enum. What comes last may free the worker. */
static void worker_act(struct worker *w, unsigned int actions)
{
	const struct run_config *config = &w->plan->config;

	if (actions & WORKER_ARM_SETTLE)
		worker_arm(w, w->sup->slots[w->slot].current ? config->settle : 0,
		           WORKER_EVENT_SETTLED);
	if (actions & WORKER_TELL_DRAIN)
		worker_tell_drain(w);
	if (actions & WORKER_ARM_DRAIN)
		worker_arm(w, config->drain_timeout, WORKER_EVENT_DRAINED);
	if (actions & WORKER_TELL_STOP)
		worker_tell_stop(w);
	if (actions & WORKER_ARM_KILL)
		worker_arm(w, config->kill_timeout, WORKER_EVENT_KILL);
	if (actions & WORKER_KILL_TREE)
		cgroup_kill(w->cgroup_fd);
	if (actions & (WORKER_FAILED | WORKER_DIED))
		slot_lost(w);
	if (actions & WORKER_ADMIT)
		worker_come_up(w);
	if (actions & WORKER_RELEASE)
		worker_release(w);
}

void worker_event(struct worker *w, enum worker_event event)
{
	enum worker_state before = w->state;
	struct worker_state_step step = worker_state_next(before, event);

	w->state = step.next;
	if (step.next != before) {
		w->timer = sd_event_source_disable_unref(w->timer);
		if (step.next != WORKER_UP && step.next != WORKER_SETTLING)
			readiness_end(w);
		supervisor_check_soon(w->sup); /* who drains is looked at */
	}
	worker_act(w, step.actions);
	/* That all have ended may have been told before that its main process has, or before it was
	 * of interest. */
	if (!(step.actions & WORKER_RELEASE) &&
	    (step.next == WORKER_KILLING || (step.next == WORKER_STOPPING && w->exited)) &&
	    !cgroup_is_populated(w->cgroup_fd))
		worker_event(w, WORKER_EVENT_EMPTY);
}

void worker_fail(struct worker *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->why, sizeof(w->why), format, args);
	va_end(args);
	worker_event(w, WORKER_EVENT_FAILED);
}

struct worker *worker_of_pid(struct supervisor *sup, uint32_t pid)
{
	for (struct worker *w = sup->workers; w; w = w->next) {
		_cleanup_free_ uint32_t *pids = NULL;
		size_t n = 0;

		if (w->pid == pid)
			return w;
		cgroup_list_processes(w->cgroup_fd, &pids, &n);
		for (size_t i = 0; i < n; i++)
			if (pids[i] == pid)
				return w;
	}
	return NULL;
}

/* --- its start */

static void worker_on_message(const char *text, void *data)
{
	struct worker *w = data;

	if (strcmp(text, "ready") != 0 || w->plan->config.ready != READY_MESSAGE)
		return;
	w->told_ready = true;
	readiness_look(w);
}

static struct worker *worker_new(struct supervisor *sup, struct plan *plan)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->sup = sup;
	w->plan = plan_ref(plan);
	w->cgroup_fd = w->events_fd = w->pidfd = w->channel_worker_fd = -1;
	w->account = RPD_ACCOUNT_NONE;
	return w;
}

/* What both a started and an adopted one need: its cgroup is open. */
static int worker_prepare(struct worker *w, struct error *err)
{
	char path[PATH_MAX], name[64], prefix[RPD_LABEL_MAX + 16];
	const struct run_config *config = &w->plan->config;

	w->cgroup_id = cgroup_id(w->cgroup_fd);
	w->events_fd = cgroup_open_events(w->cgroup_fd);
	if (w->events_fd < 0)
		return error_set(err, w->events_fd, "can't watch cgroup %s/%s: %s",
		                 w->sup->cgroup_path, w->cgroup_name, strerror(-w->events_fd));
	snprintf(name, sizeof(name), "out/%s", w->cgroup_name);
	run_dir_path(w->sup->name, name, path, sizeof(path));
	/* One that was taken over may have been started without files of its own. */
	if (config->out_file && config->error_file && access(path, F_OK) < 0)
		return 0;
	snprintf(prefix, sizeof(prefix), "%s.%u | ", w->sup->name, w->slot);
	return output_new(w->sup->loop, path, config->log == RUN_LOG_PREFIX ? prefix : NULL,
	                  w->cgroup_fd, &w->output, err);
}

/* The end of its main process, and of all. */
static int worker_watch_end(struct worker *w, struct error *err)
{
	int r = sd_event_add_io(w->sup->loop, &w->on_exit, w->pidfd, EPOLLIN,
	                        worker_on_exit_of_main, w);

	if (r >= 0)
		r = sd_event_add_io(w->sup->loop, &w->on_cgroup, w->events_fd, EPOLLPRI,
		                    worker_on_cgroup_event, w);
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

static void worker_give(struct start *start, int fd, int target)
{
	start->fds[start->n++] = (struct spawn_fd){.fd = fd, .target = target};
}

static void worker_close_opened(struct start *start)
{
	for (size_t i = 0; i < start->n_opened; i++)
		cleanup_close(&start->opened[i]);
}

static int worker_give_logs(struct worker *w, struct start *start, struct error *err)
{
	const char *const names[] = {w->plan->config.out_file, w->plan->config.error_file};

	for (int i = 0; i < 2; i++) {
		int fd = names[i] ? worker_log_open(w, names[i], err) : output_worker_fd(w->output);

		if (fd < 0)
			return fd;
		if (names[i])
			start->opened[start->n_opened++] = fd;
		worker_give(start, fd, STDOUT_FILENO + i);
	}
	return 0;
}

/* Of a port alone: all addresses, IPv4 too where IPv6 is on, as systemd's ListenStream= has it. */
static int worker_open_listener(const struct rpd_endpoint *named, struct error *err)
{
	struct rpd_endpoint endpoint = *named;
	int fd;

	endpoint.uid = geteuid();
	if (endpoint.family)
		return own_listener_open(&endpoint, err);
	endpoint.family = AF_INET6;
	fd = own_listener_open(&endpoint, err);
	if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	endpoint.family = AF_INET;
	return own_listener_open(&endpoint, err);
}

/* A listener of its own for each endpoint that was named. */
static int worker_give_listeners(struct worker *w, struct start *start, struct error *err)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; config->pass_sockets && i < config->n_listens; i++) {
		int fd = worker_open_listener(&config->listens[i], err);

		if (fd < 0)
			return fd;
		start->opened[start->n_opened++] = fd;
		fcntl(fd, F_SETFL, 0); /* blocking, as systemd's are */
		worker_give(start, fd, FIRST_FREE_FD + i);
		sockdiag_socket_cookie(fd, &w->fixed[w->n_fixed++]);
	}
	return 0;
}

/* Its descriptor of the channel; the next one is ours. */
static int worker_channel_at(const struct run_config *config)
{
	return FIRST_FREE_FD + (config->pass_sockets ? config->n_listens : 0);
}

static int worker_give_channel(struct worker *w, struct start *start, struct error *err)
{
	const struct run_config *config = &w->plan->config;
	int at = worker_channel_at(config);
	int r;

	if (!worker_env_has_channel(config))
		return 0;
	r = channel_new(w->sup->loop, worker_on_message, w, &w->channel, &w->channel_worker_fd,
	                err);
	if (r < 0)
		return r;
	worker_give(start, w->channel_worker_fd, at);
	worker_give(start, channel_fd(w->channel), at + 1); /* see channel.h */
	return 0;
}

static int worker_start_it(struct worker *w, struct error *err)
{
	_cleanup_(worker_close_opened) struct start start = {};
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
	int r = worker_log_share(w, err);

	if (r >= 0)
		r = worker_give_logs(w, &start, err);
	if (r >= 0)
		r = worker_give_listeners(w, &start, err);
	if (r >= 0)
		r = worker_give_channel(w, &start, err);
	if (r < 0)
		return r;
	env = worker_env_new(w);
	if (!env || (w->channel && worker_env_add_channel(&env, worker_channel_at(config)) < 0)) {
		strv_free(env);
		return error_set(err, -ENOMEM, "out of memory");
	}
	request.env = env;
	request.fds = start.fds;
	request.n_fds = start.n;
	r = spawn_start(&request, &w->pidfd, err);
	strv_free(env);
	cleanup_close(&w->channel_worker_fd);
	w->channel_worker_fd = -1;
	if (r < 0)
		return r;
	w->pid = r;
	return 0;
}

/* Nothing is left of one that could not be started. */
static struct worker *worker_take_back(struct worker *w)
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

struct worker *worker_start(struct supervisor *sup, unsigned int slot, struct plan *plan,
                            struct error *err)
{
	struct worker *w = worker_new(sup, plan);
	int r;

	if (!w) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	w->slot = slot;
	w->number = ++sup->last_number;
	w->state = WORKER_STARTING;
	snprintf(w->cgroup_name, sizeof(w->cgroup_name), "%u-%u", slot, w->number);
	w->cgroup_fd = cgroup_make(sup->cgroup_path, w->cgroup_name, err);
	r = w->cgroup_fd < 0 ? w->cgroup_fd : worker_prepare(w, err);
	if (r >= 0)
		r = cgroup_limit_set(w->cgroup_fd, plan->config.memory_limit,
		                     plan->config.cpu_limit, err);
	if (r >= 0)
		r = worker_start_it(w, err);
	if (r >= 0)
		r = worker_watch_end(w, err);
	if (r < 0)
		return worker_take_back(w);
	w->started_at = clock_ns(CLOCK_MONOTONIC);
	worker_arm(w, plan->config.ready_timeout, WORKER_EVENT_FAILED);
	w->next = sup->workers;
	sup->workers = w;
	return w;
}

/* --- one that another supervisor started */

static int worker_find_main(struct worker *w)
{
	_cleanup_free_ uint32_t *pids = NULL;
	struct process oldest;
	size_t n;
	int r = cgroup_list_processes(w->cgroup_fd, &pids, &n);

	if (r == 0)
		r = proc_find_oldest(pids, n, &oldest);
	if (r < 0)
		return r;
	w->pid = oldest.id.pid;
	w->pidfd = proc_open_pidfd(oldest.id);
	return w->pidfd < 0 ? -ESRCH : 0;
}

struct worker *worker_take_over(struct supervisor *sup, const char *name, enum worker_state state,
                                struct error *err)
{
	struct worker *w = worker_new(sup, sup->plan);
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
	    worker_find_main(w) < 0)
		return worker_take_back(w); /* nobody is in it any more */
	if (sup->last_number < w->number)
		sup->last_number = w->number;
	r = worker_prepare(w, err);
	if (r >= 0)
		r = worker_watch_end(w, err);
	if (r < 0) {
		worker_free(w, false);
		return NULL;
	}
	if (worker_env_has_channel(config))
		channel_adopt(sup->loop, w->pid, worker_channel_at(config) + 1, worker_on_message,
		              w, &w->channel, &ignored);
	w->started_at = w->up_at = clock_ns(CLOCK_MONOTONIC);
	w->next = sup->workers;
	sup->workers = w;
	return w;
}
