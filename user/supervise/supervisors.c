/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/supervisors.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/file_limit.h"
#include "kern/pins.h"
#include "kern/spawn.h"
#include "kern/working_dir.h"
#include "stream/log.h"
#include "supervise/config_read.h"
#include "supervise/deployment_announce.h"
#include "supervise/deployment_state.h"
#include "supervise/due.h"
#include "supervise/health_probe.h"
#include "supervise/notify.h"
#include "supervise/priority.h"
#include "supervise/reaper.h"
#include "supervise/reexec_check.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/setup.h"
#include "supervise/shutdown.h"
#include "supervise/supervisor.h"
#include "supervise/supervisor_state.h"
#include "supervise/turn.h"
#include "supervise/worker_reports.h"

static bool supervisors_have_ended(const struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			return false;
	return true;
}

/* --- signals */

static int supervisors_on_stop(sd_event_source *source, const struct signalfd_siginfo *info,
                               void *data)
{
	struct supervisors *all = data;

	all->impatient = true;
	for (size_t i = 0; i < all->n; i++)
		all->impatient &= all->list[i]->stopping && !all->list[i]->workers;
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			shutdown_ask(all->list[i]);
	return 0;
}

static int supervisors_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info,
                                 void *data)
{
	struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended && !supervisor_state_has_done_jobs(all->list[i]))
			due_now(all->list[i], all->list[i]->on_reload);
	return 0;
}

/* After a re-exec the supervisor does not know of a stop or a reload that is in progress. A
 * deployment goes on (deployment_resume.h). */
static bool supervisors_are_idle(const struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];
		const bool stops = sup->stopping || sup->lame_duck;

		if (sup->ended || (!stops && reload_check_idle(sup, NULL) == 0) ||
		    (deployment_state_under_way(sup) && !sup->postponed && !stops))
			continue;
		report_line(sup, "re-exec refused: %s",
		            stops ? "the service is being stopped"
		                  : "a reload is in progress; retry when it has finished");
		return false;
	}
	return true;
}

/* The kernel would close what is left in them during exec(), and the new program wait for that. */
static void supervisors_close_notify(struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		notify_free(all->list[i]->notify);
		all->list[i]->notify = NULL;
	}
}

static void supervisors_open_notify(struct supervisors *all)
{
	struct error err = {};

	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];

		if (!sup->ended && worker_reports_open_notify(sup, &sup->plan->config, &err) < 0)
			report_line(sup, "%s", err.text);
	}
}

/* All descriptors are close-on-exec, except what the companion passes. The new process takes over
 * the services. */
static void supervisors_reexec(struct supervisors *all)
{
	int failure;

	log_line("reuseportd: re-exec of %s", all->self[0]);
	if (all->companion_runs)
		all->companion->pass(all->companion->data);
	supervisors_close_notify(all);
	file_limit_restore();
	working_dir_follow(); /* so that $PWD still names the working directory */
	execvp(all->self[0], all->self);
	failure = errno;
	file_limit_raise();
	supervisors_open_notify(all);
	log_line("reuseportd: can't execute %s: %s; this process goes on", all->self[0],
	         strerror(failure));
	if (all->companion_runs)
		all->companion->start(all->loop, all->companion->data);
}

/* Whether the file still has all services; otherwise the re-exec is refused. */
static bool supervisors_has_all(const struct supervisors *all, const struct load_result *loaded)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];
		const struct run_config *config = config_read_find(loaded, sup->name);

		if (sup->ended || (config && !config->fault))
			continue;
		if (config) {
			report_line(sup, "re-exec refused: %s", config->fault);
			return false;
		}
		report_line(sup, "re-exec refused: %s has no service '%s' any more",
		            sup->request->args->file, sup->name);
		return false;
	}
	return true;
}

static void supervisors_on_file(void *data, int r, const struct load_result *loaded,
                                const struct error *err)
{
	struct supervisors *all = data;

	if (r < 0)
		log_line("reuseportd: re-exec refused: %s", err->text);
	else if (supervisors_are_idle(all) && supervisors_has_all(all, loaded))
		supervisors_reexec(all);
}

/* After the re-exec the same files are read, and errors in them would be fatal: checks them before.
 */
static void supervisors_on_program(const char *why_not, void *data)
{
	struct supervisors *all = data;

	reexec_check_free(all->reexec);
	all->reexec = NULL;
	if (why_not)
		log_line("reuseportd: re-exec of %s refused: %s", all->self[0], why_not);
	else if (!supervisors_are_idle(all))
		return;
	else if (!all->reader)
		supervisors_reexec(all);
	else if (config_read_request(all->reader, supervisors_on_file, all) < 0)
		log_line("reuseportd: re-exec refused: out of memory");
}

/* First the program is checked, then the files. */
static int supervisors_on_reexec(sd_event_source *source, const struct signalfd_siginfo *info,
                                 void *data)
{
	struct supervisors *all = data;
	struct error err = {};

	if (all->reexec || (all->reader && config_read_has(all->reader, all)) ||
	    !supervisors_are_idle(all))
		return 0;
	if (reexec_check_begin(all->loop, all->self[0], supervisors_on_program, all, &all->reexec,
	                       &err) < 0)
		log_line("reuseportd: re-exec refused: %s", err.text);
	return 0;
}

static int supervisors_add_signals(struct supervisors *all)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {
	        {SIGTERM, supervisors_on_stop},   {SIGINT, supervisors_on_stop},
	        {SIGQUIT, supervisors_on_stop},   {SIGHUP, supervisors_on_hangup},
	        {SIGUSR2, supervisors_on_reexec},
	};
	sigset_t set;
	int r = 0;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++) {
		sd_event_source *source = NULL;

		r = sd_event_add_signal(all->loop, &source, signals[i].number, signals[i].handler,
		                        all);
		if (r < 0)
			break;
		sd_event_source_set_priority(source, PRIORITY_SIGNAL);
		sd_event_source_set_floating(source, true);
		sd_event_source_unref(source);
	}
	return r;
}

/* --- children, and systemd */

/* Whether another event source waits for this child by its pidfd. */
static bool supervisors_has_child(uint32_t pid, void *data)
{
	const struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++) {
		const struct deployment *deployment = all->list[i]->deployment;

		if (deployment && deployment->check && health_probe_pid(deployment->check) == pid)
			return true;
		if (deployment && deployment->gate && health_probe_pid(deployment->gate) == pid)
			return true;
		if (deployment_announce_has_child(all->list[i], pid))
			return true;
		for (const struct worker *w = all->list[i]->workers; w; w = w->next)
			if ((w->pid == pid && !w->exited) ||
			    (w->probe && health_probe_pid(w->probe) == pid))
				return true;
	}
	return false;
}

/* Reports READY=1 to systemd when the slots of every service have settled; a service that has ended
 * counts as settled. Reports STOPPING=1 when all services are being stopped. */
static void supervisors_notify_systemd(struct supervisors *all)
{
	bool settled = true, serving = false;

	for (size_t i = 0; i < all->n; i++) {
		const struct supervisor *sup = all->list[i];

		settled &= sup->announced || sup->ended;
		serving |= !sup->stopping && !sup->lame_duck;
	}
	if (settled && serving && !all->sent_ready) {
		all->sent_ready = true;
		sd_notify(0, "READY=1");
	}
	if (!serving && !all->sent_stopping) {
		all->sent_stopping = true;
		sd_notify(0, "STOPPING=1");
	}
}

static void supervisors_start_companion(struct supervisors *all)
{
	for (size_t i = 0; i < all->n && all->companion && !all->companion_runs; i++)
		if (all->list[i]->started) {
			all->companion->start(all->loop, all->companion->data);
			all->companion_runs = true;
		}
}

/* --- the loop */

/* After a failure at the start: removes the services that were made. */
static void supervisors_undo(struct supervisors *all)
{
	/* There is no loop any more that would try again. */
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	for (size_t i = 0; i < all->n; i++)
		supervisor_undo(all->list[i]);
}

/* Waits until an event is due. @waits: some service waits for its lock. */
static void supervisors_sleep(struct supervisors *all, bool waits)
{
	all->polled[all->n].fd = sd_event_get_fd(all->loop);
	for (size_t i = 0; i < all->n; i++)
		/* What a service that waits has to do is due already. */
		all->polled[i].fd =
		        turn_stands_still(all->list[i]) ? -1 : sd_event_get_fd(all->list[i]->loop);
	if (poll(all->polled, all->n + 1, waits ? TURN_RETRY_MS : -1) <= 0)
		return;
	for (size_t i = 0; i < all->n; i++)
		all->list[i]->due |= all->polled[i].revents != 0;
}

/* Handles one event of the process, and gives each service a turn: no service can keep the others
 * from theirs. */
static int supervisors_round(struct supervisors *all, struct error *err)
{
	bool waits = false;
	int r = sd_event_run(all->loop, 0);
	bool busy = r > 0;

	if (r < 0)
		return error_set(err, r, "the event loop failed: %s", strerror(-r));
	for (size_t i = 0; i < all->n; i++) {
		r = turn_take(all->list[i], err);
		if (r < 0) {
			if (!all->list[i]->started)
				supervisors_undo(all);
			return r;
		}
		busy |= r == TURN_TAKEN;
		waits |= r == TURN_WAITS;
	}
	supervisors_start_companion(all);
	supervisors_notify_systemd(all);
	if (!busy)
		supervisors_sleep(all, waits);
	return 0;
}

static int supervisors_exit_status(const struct supervisors *all)
{
	int status = EXIT_OK;

	for (size_t i = 0; i < all->n; i++)
		if (all->list[i]->status != EXIT_OK)
			status = all->list[i]->status;
	return status;
}

static int supervisors_run_all(struct supervisors *all, const struct supervisor_request *requests,
                               size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		all->list[i] = supervisor_new(all, &requests[i]);
		if (!all->list[i])
			return error_set(err, -ENOMEM, "out of memory");
		all->n++;
	}
	while (!supervisors_have_ended(all)) {
		int r = supervisors_round(all, err);

		if (r < 0)
			return r;
	}
	return supervisors_exit_status(all);
}

int supervisors_run(const struct supervisor_request *requests, size_t n,
                    const struct supervisors_companion *companion, struct error *err)
{
	struct supervisors all = {.self = requests[0].self, .companion = companion};
	struct reaper *reaper = NULL;
	int r;

	file_limit_raise(); /* each worker takes about five descriptors */
	r = file_limit_check(err);
	if (r < 0)
		return r;
	r = sd_event_new(&all.loop);
	all.list = calloc(n, sizeof(*all.list));
	all.polled = calloc(n + 1, sizeof(*all.polled));
	for (size_t i = 0; all.polled && i <= n; i++)
		all.polled[i].events = POLLIN;
	if (r >= 0 && (!all.list || !all.polled))
		r = -ENOMEM;
	if (r >= 0)
		r = log_open(all.loop);
	if (r >= 0)
		r = supervisors_add_signals(&all);
	if (r >= 0)
		r = reaper_new(all.loop, supervisors_has_child, &all, &reaper);
	if (r >= 0 && requests[0].args)
		r = config_read_new(all.loop, requests[0].args, requests[0].loaded, &all.reader);
	pins_set_waiting(pins_never_wait, 0); /* turn.h */
	if (r < 0)
		error_set(err, r, "can't set up the event loop: %s", strerror(-r));
	else
		r = supervisors_run_all(&all, requests, n, err);
	reexec_check_free(all.reexec);
	reaper_free(reaper);
	for (size_t i = 0; i < all.n; i++)
		supervisor_free(all.list[i]);
	config_read_free(all.reader);
	free(all.list);
	free(all.polled);
	log_close(all.impatient ? 0 : LOG_END_NS);
	sd_event_unref(all.loop);
	return r;
}
