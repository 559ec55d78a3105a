/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/signal_name.h"
#include "core/endpoint.h"
#include "kern/cgroup.h"
#include "service/admit.h"
#include "supervise/background.h"
#include "supervise/channel.h"
#include "supervise/drain_check.h"
#include "supervise/former.h"
#include "supervise/log_link.h"
#include "supervise/plan.h"
#include "supervise/port_rival.h"
#include "supervise/priority.h"
#include "supervise/report.h"
#include "supervise/worker_probe.h"

/* How long the first worker of a slot must live before it gets the slot. */
#define FIRST_SETTLE_NS (NS_PER_S / 20)
/* How often it is tried again to put a worker into its slot, and after what time, which doubles. */
#define LATER_MAX 4
#define LATER_NS  (NS_PER_S / 2)
/* How long a worker that was sent SIGKILL may take to end, at least: --kill-timeout may be longer,
 * for one with much memory. A lock of the kernel that another process keeps, such as that of a pipe
 * that the worker has open, can hold it for ever. */
#define END_NS (10 * NS_PER_S)

/* --- its end */

static void worker_describe_end(struct worker *w, const siginfo_t *info)
{
	char signal[SIGNAL_NAME_MAX];

	w->end_status = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
	if (info->si_code == CLD_EXITED)
		snprintf(w->end, sizeof(w->end), "exit status %d", info->si_status);
	else
		snprintf(w->end, sizeof(w->end), "signal %s%s",
		         signal_name_format(info->si_status, signal),
		         info->si_code == CLD_DUMPED ? ", core dumped" : "");
}

/* Adds a likely cause to the reason why the worker failed. */
static void worker_add_refusal(struct worker *w)
{
	const size_t n = strlen(w->why);

	if (w->refused_port)
		snprintf(w->why + n, sizeof(w->why) - n,
		         "; it asked for an MPTCP socket on port %u and was "
		         "refused: " ADMIT_NO_MPTCP,
		         w->refused_port);
}

/* Handles the end of the main process. May free the worker. */
static void worker_judge_end(struct worker *w)
{
	if (background_note(w)) {
		if (w->in_background)
			worker_event(w, WORKER_EVENT_EXITED);
		else if (w->state == WORKER_UP)
			w->sup->events->left(w);
		return;
	}
	if (w->state <= WORKER_STANDBY || (w->state == WORKER_UP && !w->up_at)) {
		snprintf(w->why, sizeof(w->why), "ended with %s before it %s",
		         w->end[0] ? w->end : "an unknown status",
		         w->state == WORKER_STARTING  ? "was ready"
		         : w->state == WORKER_STANDBY ? "got its slot"
		                                      : "had run for --settle");
		port_rival_note(w);
	}
	if (w->state == WORKER_STARTING)
		worker_add_refusal(w);
	if (w->state == WORKER_STOPPING && w->plan->config.kill_mixed)
		worker_event(w, WORKER_EVENT_KILL);
	else
		worker_event(w, WORKER_EVENT_EXITED);
}

struct worker *worker_of_number(const struct supervisor *sup, unsigned int number)
{
	struct worker *w = sup->workers;

	while (w && w->number != number)
		w = w->next;
	return w;
}

/* The status is not known of a worker that an earlier supervisor has started, and of one that
 * another process traces: waitid() would wait until its tracer has reaped it. */
static int worker_on_exit_of_main(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;
	struct supervisor *sup = w->sup;
	const unsigned int number = w->number;
	siginfo_t info = {};

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	/* This event comes before the worker's messages, which still count. While it is a zombie,
	 * its cgroup shows that they are its own. */
	sup->events->read_rest(w);
	w = worker_of_number(sup, number);
	if (!w)
		return 0;
	if (waitid(P_PIDFD, w->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
		worker_describe_end(w, &info);
	w->exited = true;
	worker_judge_end(w);
	return 0;
}

static int worker_on_cgroup_event(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;

	if (cgroup_is_populated(fd))
		return 0;
	/* The event of the pidfd, which has the exit status, may come after this one. */
	if (!w->exited && w->on_exit)
		worker_on_exit_of_main(w->on_exit, w->pidfd, EPOLLIN, w);
	else
		worker_event(w, WORKER_EVENT_EMPTY);
	return 0;
}

int worker_watch_end(struct worker *w, struct error *err)
{
	int r = sd_event_add_io(w->sup->loop, &w->on_exit, w->pidfd, EPOLLIN,
	                        worker_on_exit_of_main, w);

	if (r >= 0)
		r = sd_event_add_io(w->sup->loop, &w->on_cgroup, w->events_fd, EPOLLPRI,
		                    worker_on_cgroup_event, w);
	if (r >= 0)
		r = sd_event_source_set_priority(w->on_exit, PRIORITY_EXIT);
	if (r >= 0)
		r = sd_event_source_set_priority(w->on_cgroup, PRIORITY_EMPTY);
	return r < 0 ? error_set(err, r, "can't watch pid %u: %s", w->pid, strerror(-r)) : 0;
}

static void worker_unlink(struct worker *w)
{
	struct worker **at = &w->sup->workers;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
}

void worker_free(struct worker *w)
{
	worker_probe_end(w);
	sd_event_source_disable_unref(w->on_exit);
	sd_event_source_disable_unref(w->on_cgroup);
	sd_event_source_disable_unref(w->timer);
	sd_event_source_disable_unref(w->held_timer);
	channel_free(w->channel);
	cleanup_close(&w->channel_worker_fd);
	cleanup_close(&w->events_fd);
	cleanup_close(&w->cgroup_fd);
	cleanup_close(&w->pidfd);
	plan_unref(w->plan);
	free(w->addresses);
	free(w);
}

void worker_forget(struct worker *w)
{
	worker_unlink(w);
	worker_free(w);
}

/* All processes of the worker have ended. */
static void worker_release(struct worker *w)
{
	struct supervisor *sup = w->sup;

	worker_unlink(w);
	former_note(w);
	cgroup_remove(sup->cgroup_path, w->cgroup_name);
	log_link_note_gone(w);
	sup->events->gone(w);
	worker_free(w);
	report_change(sup);
}

/* The main process may have ended, and left others. */
static uint32_t worker_find_process(const struct worker *w)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	return w->exited && cgroup_list_processes(w->cgroup_fd, &pids, &n) == 0 && n ? pids[0]
	                                                                             : w->pid;
}

/* How long it may take to end after SIGKILL. */
static int64_t worker_end_time(const struct worker *w)
{
	const int64_t kill_timeout = w->plan->config.kill_timeout;

	return kill_timeout > END_NS ? kill_timeout : END_NS;
}

/* Leaves its processes alone. */
static void worker_give_up(struct worker *w)
{
	report_line(
	        w->sup,
	        "slot %u: pid %u has not ended %g s after SIGKILL: the kernel holds it, because "
	        "another process keeps a lock, for example; it is left behind",
	        w->slot, worker_find_process(w), (double)worker_end_time(w) / NS_PER_S);
	worker_event(w, WORKER_EVENT_EMPTY);
}

/* --- its timer */

/* The rest of the time that it has to become ready. */
static void worker_arm_ready(struct worker *w)
{
	int64_t left = w->started_at + w->plan->config.ready_timeout - clock_ns(CLOCK_MONOTONIC);

	if (w->is_late && !w->may_drop && left > WORKER_LATE_NS)
		left = WORKER_LATE_NS;
	if (w->may_drop && left < WORKER_LATE_NS) /* a moment for its probe */
		left = WORKER_LATE_NS;
	worker_arm(w, left > 0 ? left : 0);
}

void worker_arm_late(struct worker *w)
{
	w->is_late = true;
	worker_arm_ready(w);
}

/* Each state has one time to wait for. */
static int worker_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;
	const struct run_config *config = &w->plan->config;
	uint64_t open;

	switch (w->state) {
	case WORKER_STARTING:
		if (w->is_late && !w->may_drop) {
			w->may_drop = true;
			worker_arm_ready(w);
			w->sup->events->may_be_ready(w);
			break;
		}
		if (w->why[0] == '\0')
			snprintf(w->why, sizeof(w->why),
			         "was not ready within %g s (--ready-timeout)",
			         (double)config->ready_timeout / NS_PER_S);
		w->late = true;
		worker_add_refusal(w);
		worker_event(w, WORKER_EVENT_FAILED);
		break;
	case WORKER_SETTLING:
		if (w->sup->events->confirm(w))
			worker_event(w, w->sup->events->stands_by(w) ? WORKER_EVENT_STANDBY
			                                             : WORKER_EVENT_SETTLED);
		break;
	case WORKER_DRAINING:
		drain_check_is_empty(w, &open);
		if (open && open != UINT64_MAX)
			report_line(w->sup, "slot %u: pid %u still has %lu connection%s after %g s",
			            w->slot, w->pid, open, open == 1 ? "" : "s",
			            (double)config->drain_timeout / NS_PER_S);
		worker_event(w, WORKER_EVENT_DRAINED);
		break;
	case WORKER_STOPPING:
		report_line(w->sup, "slot %u: pid %u has not ended after %g s: SIGKILL", w->slot,
		            w->pid, (double)config->kill_timeout / NS_PER_S);
		worker_event(w, WORKER_EVENT_KILL);
		break;
	case WORKER_KILLING:
		worker_give_up(w);
		break;
	default:
		break;
	}
	return 0;
}

void worker_arm(struct worker *w, int64_t ns)
{
	w->timer = sd_event_source_disable_unref(w->timer);
	memory_check(sd_event_add_time_relative(w->sup->loop, &w->timer, CLOCK_MONOTONIC, ns / 1000,
	                                        1000, worker_on_timer, w));
}

/* --- events and actions */

/* Signals all processes of the worker, as systemd does: a shell around the program would not pass
 * the signal on. With kill_mixed, as with systemd's KillMode=mixed. */
static void worker_signal(const struct worker *w, int signal)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	if (w->plan->config.kill_mixed && !w->exited) {
		kill(w->pid, signal);
		return;
	}
	if (cgroup_list_processes(w->cgroup_fd, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		kill(pids[i], signal);
}

static void worker_send_drain(struct worker *w)
{
	const struct run_config *config = &w->plan->config;

	if (config->drain_message && w->channel)
		channel_send(w->channel, "drain");
	if (config->drain_signal && !w->exited)
		kill(w->pid, config->drain_signal);
}

static void worker_send_stop(struct worker *w)
{
	const struct run_config *config = &w->plan->config;

	if (!config->shutdown_message || !w->channel || w->exited ||
	    channel_send(w->channel, "shutdown") < 0)
		worker_signal(w, config->stop_signal);
}

/* Whether its main process has ended, and the event has not been handled yet. */
static bool worker_has_just_ended(const struct worker *w)
{
	struct pollfd end = {.fd = w->pidfd, .events = POLLIN};

	return !w->exited && poll(&end, 1, 0) > 0;
}

/* On a busy machine a worker may keep a lock of the kernel for a second, and be healthy. Returns
 * whether there is another attempt to put it into its slot. */
static bool worker_try_later(struct worker *w, const char *why)
{
	if (w->n_later == LATER_MAX || w->sup->slots[w->slot].next != w)
		return false;
	report_line(w->sup, "slot %u: not in its slot yet: %s", w->slot, why);
	worker_event(w, WORKER_EVENT_LATER);
	worker_arm(w, LATER_NS << w->n_later++);
	return true;
}

static void worker_come_up(struct worker *w)
{
	struct error err = {};
	const int r = w->sup->events->admit(w, &err);

	if (r == 0 || worker_has_just_ended(w)) /* the event of its end has the reason */
		return;
	if (r < 0 || !worker_try_later(w, err.text))
		worker_fail(w, "can't take its slot: %s", err.text);
}

/* Whether the worker decides which addresses the workers share (endpoints_note_private()), and may
 * have opened only its lock yet. */
static bool worker_may_have_a_lock_only(const struct worker *w)
{
	bool is_loopback = !w->sup->was_up && !w->plan->config.n_listens && w->n_addresses;

	for (size_t i = 0; i < w->n_addresses; i++)
		is_loopback &= endpoint_is_loopback(&w->addresses[i]);
	return is_loopback && !w->plan->config.share_loopback;
}

/* How long the worker must live before it gets the slot. If the slot is empty, clients may wait;
 * but a program that goes to the background ends just after it has begun to listen. */
static int64_t worker_settle_time(const struct worker *w)
{
	const struct slot *it = &w->sup->slots[w->slot];
	const int64_t settle = w->plan->config.settle;

	if (it->current || worker_may_have_a_lock_only(w))
		return settle;
	if (it->proven)
		return 0;
	return settle < FIRST_SETTLE_NS ? settle : FIRST_SETTLE_NS;
}

/* Performs the actions in the order of the enum. The last ones may free the worker. */
static void worker_act(struct worker *w, unsigned int actions)
{
	const struct run_config *config = &w->plan->config;

	if (actions & WORKER_ARM_SETTLE)
		worker_arm(w, worker_settle_time(w));
	if (actions & WORKER_ARM_READY)
		worker_arm_ready(w);
	if (actions & WORKER_TELL_DRAIN)
		worker_send_drain(w);
	if (actions & WORKER_ARM_DRAIN)
		worker_arm(w, config->drain_timeout);
	if (actions & WORKER_TELL_STOP)
		worker_send_stop(w);
	if (actions & WORKER_ARM_KILL)
		worker_arm(w, config->kill_timeout);
	if (actions & WORKER_KILL_TREE) {
		cgroup_kill(w->cgroup_fd);
		worker_arm(w, worker_end_time(w));
	}
	if (actions & (WORKER_FAILED | WORKER_DIED))
		w->sup->events->lost(w);
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
			worker_probe_end(w);
		report_change(w->sup); /* workers that drain are checked */
	}
	worker_act(w, step.actions);
	if (!(step.actions & WORKER_RELEASE) && step.next != before)
		former_note(w);
	/* The event of the empty cgroup may have come before the event of the main process's end,
	 * or in a state that ignores it. */
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

struct worker *worker_of_cgroup(struct supervisor *sup, uint64_t cgroup)
{
	for (struct worker *w = sup->workers; w; w = w->next)
		if (cgroup && w->cgroup_id == cgroup)
			return w;
	return NULL;
}
