/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/watch_reexec.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/strv.h"
#include "cli/command_line.h"
#include "kern/netns.h"
#include "stream/log.h"
#include "supervise/reaper.h"
#include "supervise/reexec_check.h"

static sigset_t watch_reexec_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return set;
}

int watch_reexec_init(struct watch_reexec *reexec, struct error *err)
{
	int r = netns_open_current(&reexec->home, err);
	const sigset_t set = watch_reexec_signals();

	sigprocmask(SIG_BLOCK, &set, NULL);
	return r < 0 ? r : command_line_read_own(&reexec->self, err);
}

/* All descriptors are close-on-exec, except the listener of the metrics. */
static void watch_reexec_execute(struct watch_reexec *reexec)
{
	_cleanup_close_ int here = -1;
	struct error err = {};

	log_line("reuseportd: re-exec of %s", reexec->self[0]);
	if (netns_open_current(&here, &err) < 0 || netns_return(reexec->home, &err) < 0) {
		log_line("reuseportd: re-exec refused: %s", err.text);
		return;
	}
	web_process_pass(reexec->metrics);
	execvp(reexec->self[0], reexec->self);
	log_line("reuseportd: can't execute %s: %s; this process goes on", reexec->self[0],
	         strerror(errno));
	netns_return(here, &err);
	if (reexec->loop)
		web_process_start(reexec->loop, reexec->metrics);
}

void watch_reexec_poll(void *data)
{
	const sigset_t set = watch_reexec_signals();
	const struct timespec none = {};

	if (sigtimedwait(&set, NULL, &none) == SIGUSR2)
		watch_reexec_execute(data);
}

static void watch_reexec_on_program(const char *why_not, void *data)
{
	struct watch_reexec *reexec = data;

	if (why_not)
		log_line("reuseportd: re-exec of %s refused: %s", reexec->self[0], why_not);
	reexec_check_free(reexec->check);
	reexec->check = NULL;
	if (!why_not)
		watch_reexec_execute(reexec);
}

static int watch_reexec_on_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                                  void *data)
{
	struct watch_reexec *reexec = data;
	struct error err = {};

	if (!reexec->check &&
	    reexec_check_begin(reexec->loop, reexec->self[0], watch_reexec_on_program, reexec,
	                       &reexec->check, &err) < 0)
		log_line("reuseportd: re-exec refused: %s", err.text);
	return 0;
}

static bool watch_reexec_is_metrics(uint32_t pid, void *data)
{
	const struct web_process *metrics = data;

	return metrics->pidfd >= 0 && metrics->pid == pid;
}

void watch_reexec_start(struct watch_reexec *reexec, sd_event *loop)
{
	/* Children of the earlier program, which nobody else reaps. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	reexec->loop = loop;
	memory_check(reaper_new(loop, watch_reexec_is_metrics, reexec->metrics, &reexec->reaper));
	memory_check(sd_event_add_signal(loop, NULL, SIGUSR2, watch_reexec_on_signal, reexec));
}

void watch_reexec_end(struct watch_reexec *reexec)
{
	reaper_free(reexec->reaper);
	reexec_check_free(reexec->check);
	strv_free(reexec->self);
	cleanup_close(&reexec->home);
}
