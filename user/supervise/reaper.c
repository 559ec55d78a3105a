/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "supervise/priority.h"

#define AGAIN_US 20000

struct reaper {
	sd_event_source *on_child, *again;
	bool (*is_ours)(uint32_t pid, void *data);
	void *data;
};

/* waitid() reports one ended child at a time, and the same one until it is reaped. If that child is
 * ours, its service reaps it soon, and the check is repeated. */
static void reaper_reap(struct reaper *reaper)
{
	siginfo_t info = {};

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		if (reaper->is_ours((uint32_t)info.si_pid, reaper->data)) {
			sd_event_source_set_time_relative(reaper->again, AGAIN_US);
			sd_event_source_set_enabled(reaper->again, SD_EVENT_ONESHOT);
			return;
		}
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		info = (siginfo_t){};
	}
}

static int reaper_on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	reaper_reap(data);
	return 0;
}

static int reaper_on_again(sd_event_source *source, uint64_t now, void *data)
{
	reaper_reap(data);
	return 0;
}

int reaper_new(sd_event *loop, bool (*is_ours)(uint32_t pid, void *data), void *data,
               struct reaper **ret)
{
	struct reaper *reaper = calloc(1, sizeof(*reaper));
	sigset_t set;
	int r;

	if (!reaper)
		return -ENOMEM;
	reaper->is_ours = is_ours;
	reaper->data = data;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL); /* if SIGCHLD is ignored, the kernel drops exit statuses */
	r = sd_event_add_signal(loop, &reaper->on_child, SIGCHLD, reaper_on_child, reaper);
	if (r >= 0)
		r = sd_event_source_set_priority(reaper->on_child, PRIORITY_REAP);
	/* Once at the start: after a re-exec, children may have ended before. */
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &reaper->again, CLOCK_MONOTONIC, 0, 1000,
		                               reaper_on_again, reaper);
	if (r >= 0)
		r = sd_event_source_set_priority(reaper->again, PRIORITY_REAP);
	if (r < 0) {
		reaper_free(reaper);
		return r;
	}
	*ret = reaper;
	return 0;
}

void reaper_free(struct reaper *reaper)
{
	if (!reaper)
		return;
	sd_event_source_disable_unref(reaper->on_child);
	sd_event_source_disable_unref(reaper->again);
	free(reaper);
}
