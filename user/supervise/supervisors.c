/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/supervisors.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/file_limit.h"
#include "kern/pins.h"
#include "kern/spawn.h"
#include "stream/log.h"
#include "stream/output.h"
#include "supervise/control_request.h"
#include "supervise/health_probe.h"
#include "supervise/reaper.h"
#include "supervise/reexec_check.h"
#include "supervise/report.h"
#include "supervise/service_cgroup.h"
#include "supervise/setup.h"
#include "supervise/shutdown.h"
#include "supervise/supervisor.h"
#include "supervise/worker.h"

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

	all->impatient = supervisors_have_ended(all);
	for (size_t i = 0; i < all->n; i++)
		if (!all->list[i]->ended)
			shutdown_begin(all->list[i]);
	return 0;
}

static int supervisors_on_hangup(sd_event_source *source, const struct signalfd_siginfo *info,
                                 void *data)
{
	struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++) {
		struct error err = {};

		if (!all->list[i]->ended && control_request_reload(all->list[i], &err) < 0)
			report_line(all->list[i], "%s", err.text);
	}
	return 0;
}

/* After a re-exec the supervisor does not know of a stop or a reload that is in progress. */
static bool supervisors_is_idle(struct supervisor *sup)
{
	if (sup->stopping)
		report_line(sup, "re-exec refused: the service is being stopped");
	else if (sup->reload)
		report_line(sup,
		            "re-exec refused: a reload is in progress; retry when it has finished");
	return !sup->stopping && !sup->reload;
}

/* After the re-exec the same files are read, and errors in them would be fatal: checks them before.
 */
static bool supervisors_can_reexec(struct supervisors *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct supervisor *sup = all->list[i];
		const struct supervisor_request *request = sup->request;
		struct run_config config = {};
		struct error err = {};

		if (sup->ended)
			continue;
		if (!supervisors_is_idle(sup))
			return false;
		if (!request->reread)
			continue;
		if (request->reread(sup->name, &config, request->data, &err) < 0) {
			report_line(sup, "re-exec refused: %s", err.text);
			return false;
		}
		run_config_free(&config);
	}
	return true;
}

/* All descriptors are close-on-exec; the new process takes over the services. */
static void supervisors_reexec(const char *why_not, void *data)
{
	struct supervisors *all = data;

	reexec_check_free(all->reexec);
	all->reexec = NULL;
	if (why_not) {
		log_line("reuseportd: re-exec of %s refused: %s", all->self[0], why_not);
		return;
	}
	if (!supervisors_can_reexec(all))
		return;
	log_line("reuseportd: re-exec of %s", all->self[0]);
	file_limit_restore();
	execvp(all->self[0], all->self);
	file_limit_raise();
	log_line("reuseportd: can't execute %s: %s; this process goes on", all->self[0],
	         strerror(errno));
}

/* First the services, which answer at once, then the program; then the services again, because a
 * reload may have begun. */
static int supervisors_on_reexec(sd_event_source *source, const struct signalfd_siginfo *info,
                                 void *data)
{
	struct supervisors *all = data;
	struct error err = {};

	if (all->reexec || !supervisors_can_reexec(all))
		return 0;
	if (reexec_check_begin(all->loop, all->self[0], supervisors_reexec, all, &all->reexec,
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
	        {SIGTERM, supervisors_on_stop},
	        {SIGINT, supervisors_on_stop},
	        {SIGHUP, supervisors_on_hangup},
	        {SIGUSR2, supervisors_on_reexec},
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

/* --- children, and systemd */

/* Whether another event source waits for this child by its pidfd. */
static bool supervisors_has_child(uint32_t pid, void *data)
{
	const struct supervisors *all = data;

	for (size_t i = 0; i < all->n; i++)
		for (const struct worker *w = all->list[i]->workers; w; w = w->next)
			if ((w->pid == pid && !w->exited) ||
			    (w->probe && health_probe_pid(w->probe) == pid))
				return true;
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
		serving |= !sup->stopping;
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

static int supervisors_on_idle(sd_event_source *source, void *data)
{
	supervisors_notify_systemd(data);
	return 0;
}

/* --- the loop */

/* After a failure at the start: removes the services that were made. */
static void supervisors_undo(struct supervisors *all)
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

static int supervisors_run_all(struct supervisors *all, const struct supervisor_request *requests,
                               size_t n, struct error *err)
{
	int status = EXIT_OK;
	bool waited = false; /* for standard output */

	for (size_t i = 0; i < n; i++) {
		all->list[i] = supervisor_new(all, &requests[i]);
		if (!all->list[i])
			return error_set(err, -ENOMEM, "out of memory");
		all->n++;
	}
	for (size_t i = 0; i < n; i++) {
		int r = supervisor_start(all->list[i], err);

		if (r < 0) {
			supervisors_undo(all);
			return r;
		}
	}
	while (!supervisors_have_ended(all) || (output_is_pending() && !all->impatient)) {
		int r;

		waited = supervisors_have_ended(all);
		r = sd_event_run(all->loop, UINT64_MAX);
		if (r < 0)
			return error_set(err, r, "the event loop failed: %s", strerror(-r));
	}
	supervisors_notify_systemd(all);
	output_abandon();
	for (size_t i = 0; i < n && waited; i++)
		setup_remove_dir(all->list[i]);
	for (size_t i = 0; i < n; i++)
		if (all->list[i]->status != EXIT_OK)
			status = all->list[i]->status;
	return status;
}

static bool supervisors_log_waiting(const char *service)
{
	log_line("reuseportd: waiting for another command on service '%s' to end", service);
	return true;
}

int supervisors_run(const struct supervisor_request *requests, size_t n, struct error *err)
{
	struct supervisors all = {.self = requests[0].self};
	struct reaper *reaper = NULL;
	sd_event_source *idle = NULL;
	int r = sd_event_new(&all.loop);

	file_limit_raise(); /* each worker takes about five descriptors */
	all.list = calloc(n, sizeof(*all.list));
	if (r >= 0 && !all.list)
		r = -ENOMEM;
	if (r >= 0)
		r = log_open(all.loop);
	if (r >= 0)
		r = supervisors_add_signals(&all);
	if (r >= 0)
		r = reaper_new(all.loop, supervisors_has_child, &all, &reaper);
	pins_set_waiting(supervisors_log_waiting, PINS_PATIENCE_MS);
	if (r >= 0)
		r = sd_event_add_post(all.loop, &idle, supervisors_on_idle, &all);
	if (r < 0)
		error_set(err, r, "can't set up the event loop: %s", strerror(-r));
	else
		r = supervisors_run_all(&all, requests, n, err);
	sd_event_source_disable_unref(idle);
	reexec_check_free(all.reexec);
	reaper_free(reaper);
	for (size_t i = 0; i < all.n; i++)
		supervisor_free(all.list[i]);
	free(all.list);
	log_close(all.impatient ? 0 : LOG_END_NS);
	sd_event_unref(all.loop);
	return r;
}
