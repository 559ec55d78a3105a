/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

/* Who waits for a child that has ended at the same time comes first. */
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct reaper {
	sd_event_source *on_child, *again;
	bool (*is_ours)(uint32_t pid, void *data);
	void *data;
};

/* The kernel tells of one child at a time that has ended, and of the same one until it has been
 * waited for: behind one that is ours we look when the loop has turned. */
static void reaper_look(struct reaper *orphans)
{
	siginfo_t info = {};

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		if (orphans->is_ours((uint32_t)info.si_pid, orphans->data)) {
			sd_event_source_set_enabled(orphans->again, SD_EVENT_ONESHOT);
			return;
		}
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		info = (siginfo_t){};
	}
}

static int reaper_on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	reaper_look(data);
	return 0;
}

static int reaper_on_again(sd_event_source *source, void *data)
{
	reaper_look(data);
	return 0;
}

int reaper_new(sd_event *loop, bool (*is_ours)(uint32_t pid, void *data), void *data,
               struct reaper **ret)
{
	struct reaper *orphans = calloc(1, sizeof(*orphans));
	sigset_t set;
	int r;

	if (!orphans)
		return -ENOMEM;
	orphans->is_ours = is_ours;
	orphans->data = data;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL); /* ignored, nobody could tell how a child ended */
	r = sd_event_add_signal(loop, &orphans->on_child, SIGCHLD, reaper_on_child, orphans);
	if (r >= 0)
		r = sd_event_source_set_priority(orphans->on_child, PRIORITY);
	/* At once, too: they may have come before, to who has executed itself anew. */
	if (r >= 0)
		r = sd_event_add_defer(loop, &orphans->again, reaper_on_again, orphans);
	if (r >= 0)
		r = sd_event_source_set_priority(orphans->again, PRIORITY);
	if (r < 0) {
		reaper_free(orphans);
		return r;
	}
	*ret = orphans;
	return 0;
}

void reaper_free(struct reaper *orphans)
{
	if (!orphans)
		return;
	sd_event_source_disable_unref(orphans->on_child);
	sd_event_source_disable_unref(orphans->again);
	free(orphans);
}
