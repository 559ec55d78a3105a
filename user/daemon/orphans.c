/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/orphans.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

/* Who waits for a child that has ended at the same time comes first. */
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct orphans {
	sd_event_source *on_child, *again;
	bool (*is_ours)(uint32_t pid, void *data);
	void *data;
};

/* The kernel tells of one child at a time that has ended, and of the same one until it has been
 * waited for: behind one that is ours we look when the loop has turned. */
static void look(struct orphans *orphans)
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

static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)source;
	(void)info;
	look(data);
	return 0;
}

static int on_again(sd_event_source *source, void *data)
{
	(void)source;
	look(data);
	return 0;
}

int orphans_new(sd_event *loop, bool (*is_ours)(uint32_t pid, void *data), void *data,
                struct orphans **ret)
{
	struct orphans *orphans = calloc(1, sizeof(*orphans));
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
	r = sd_event_add_signal(loop, &orphans->on_child, SIGCHLD, on_child, orphans);
	if (r >= 0)
		r = sd_event_source_set_priority(orphans->on_child, PRIORITY);
	/* At once, too: they may have come before, to who has executed itself anew. */
	if (r >= 0)
		r = sd_event_add_defer(loop, &orphans->again, on_again, orphans);
	if (r >= 0)
		r = sd_event_source_set_priority(orphans->again, PRIORITY);
	if (r < 0) {
		orphans_free(orphans);
		return r;
	}
	*ret = orphans;
	return 0;
}

void orphans_free(struct orphans *orphans)
{
	if (!orphans)
		return;
	sd_event_source_disable_unref(orphans->on_child);
	sd_event_source_disable_unref(orphans->again);
	free(orphans);
}
