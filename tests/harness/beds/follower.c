/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/follower.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/output_bed.h"
#include "check/check.h"

#define TICK_US 2000

static struct output *outputs[OUTPUT_BED_WRITERS];
static int64_t last_tick;

static void follower_free_one(int i, bool flush)
{
	if (outputs[i] && flush)
		output_finish(outputs[i]);
	output_free(outputs[i], flush);
	outputs[i] = NULL;
}

static int follower_on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);

	if (last_tick && now - last_tick > output_bed->longest_ns)
		output_bed->longest_ns = now - last_tick;
	last_tick = now;
	output_bed->ticks++;
	if (output_bed->ended >= 0) {
		follower_free_one(output_bed->ended, true);
		output_bed->ended = -1;
	}
	if (output_bed->tail >= 0) {
		strcpy(output_bed->text, output_tail(outputs[output_bed->tail]));
		output_bed->tail = -1;
	}
	return sd_event_source_set_time(source, usec + TICK_US) < 0 ||
	                       sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0
	               ? -EINVAL
	               : 0;
}

/* As on a file system without extended attributes. */
static bool follower_deny_attributes(void)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsetxattr, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool follower_open_all(sd_event *loop)
{
	struct error err;

	for (int i = 0; i < output_bed->n_files; i++) {
		char path[OUTPUT_BED_PATH_MAX], prefix[32];

		output_bed_path(path, i);
		snprintf(prefix, sizeof(prefix), "svc.%d | ", i);
		if (output_new(loop, path, prefix, output_bed->cgroup, &outputs[i], &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return false;
		}
	}
	return true;
}

/* The reader's end of the pipe @fd, which was inherited. */
static void follower_close_other_end(int fd)
{
	struct stat st, other;

	for (int i = 3; fstat(fd, &st) == 0 && i < 64; i++)
		if (i != fd && fstat(i, &other) == 0 && S_ISFIFO(other.st_mode) &&
		    other.st_ino == st.st_ino)
			close(i);
}

void follower_run(int fd)
{
	_cleanup_(sd_event_unrefp) sd_event *loop = NULL;
	sd_event_source *timer = NULL;

	follower_close_other_end(fd);
	signal(SIGPIPE, SIG_IGN);
	if (dup2(fd, STDOUT_FILENO) < 0 || sd_event_new(&loop) < 0 ||
	    sd_event_add_time_relative(loop, &timer, CLOCK_MONOTONIC, 0, 1, follower_on_tick,
	                               NULL) < 0 ||
	    (output_bed->no_attributes && !follower_deny_attributes()) || !follower_open_all(loop))
		exit(1);
	while (!output_bed->stop && !output_bed->leave)
		if (sd_event_run(loop, UINT64_MAX) < 0)
			exit(1);
	for (int i = 0; i < output_bed->n_files; i++)
		follower_free_one(i, output_bed->stop);
	while (output_is_pending())
		if (sd_event_run(loop, UINT64_MAX) < 0)
			exit(1);
	sd_event_source_unref(timer);
	loop = sd_event_unref(loop);
	exit(0);
}

bool follower_ticks(void)
{
	const unsigned int ticks = output_bed->ticks + 20;

	return check_until((int)(output_bed->ticks - ticks) >= 0);
}

bool follower_tail_is(const char *expected)
{
	output_bed->tail = 0;
	return check_until(output_bed->tail < 0) && !strcmp(output_bed->text, expected);
}
