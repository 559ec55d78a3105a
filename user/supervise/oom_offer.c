/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/oom_offer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/cgroup.h"

/* A half of the memory: a worker that serves is taken only if it is that much bigger. */
#define OOM_OFFER_MORE 500
#define OOM_OFFER_MAX  1000
/* How many processes of a worker get their score back, and how often we search new ones: a child
 * that is forked meanwhile has the higher score, too. */
#define OOM_OFFER_PROCESSES 1024
#define OOM_OFFER_ROUNDS    3

static int oom_offer_open(uint32_t pid, int *ret_score)
{
	char path[64], text[16];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/oom_score_adj", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0) {
		cleanup_close(&fd);
		return -1;
	}
	text[n] = '\0';
	*ret_score = atoi(text);
	return fd;
}

static bool oom_offer_write(int fd, int score)
{
	char text[16];
	const int n = snprintf(text, sizeof(text), "%d", score);

	return pwrite(fd, text, n, 0) == n;
}

void oom_offer_begin(struct worker *w)
{
	_cleanup_close_ int fd = oom_offer_open(w->pid, &w->oom_score);
	const int more = w->oom_score + OOM_OFFER_MORE;

	w->oom_offered = more < OOM_OFFER_MAX ? more : OOM_OFFER_MAX;
	if (fd < 0 || !oom_offer_write(fd, w->oom_offered))
		w->oom_offered = w->oom_score;
}

/* Returns whether a process had the higher score. The kernel always allows to lower a score to what
 * it was: it compares with the lowest one that a process with CAP_SYS_RESOURCE has set. */
static bool oom_offer_restore(const struct worker *w, const uint32_t *pids, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n && i < OOM_OFFER_PROCESSES; i++) {
		int score = 0;
		_cleanup_close_ int fd = oom_offer_open(pids[i], &score);

		if (fd >= 0 && score == w->oom_offered)
			any |= oom_offer_write(fd, w->oom_score);
	}
	return any;
}

void oom_offer_end(struct worker *w)
{
	bool again = w->oom_offered != w->oom_score;

	for (int round = 0; again && round < OOM_OFFER_ROUNDS; round++) {
		_cleanup_free_ uint32_t *pids = NULL;
		size_t n = 0;

		again = cgroup_list_processes(w->cgroup_fd, &pids, &n) == 0 &&
		        oom_offer_restore(w, pids, n);
	}
	w->oom_offered = w->oom_score;
}
