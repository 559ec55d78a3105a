/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reexec_check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include <reuseportd/abi.h>

#define REEXEC_CHECK_US      1000000
#define REEXEC_CHECK_KILL_MS 1000 /* root may hold the process by ptrace() */
#define REEXEC_CHECK_SIZE    64   /* of an answer */

struct reexec_check {
	reexec_check_done done;
	void *data;
	int out, pidfd;
	sd_event_source *on_output, *timer;
	char answer[REEXEC_CHECK_SIZE];
	size_t n;
};

void reexec_check_free(struct reexec_check *check)
{
	if (!check)
		return;
	sd_event_source_disable_unref(check->on_output);
	sd_event_source_disable_unref(check->timer);
	if (check->pidfd >= 0) {
		struct pollfd end = {.fd = check->pidfd, .events = POLLIN};

		/* Before an exec(), after which nobody may know of the process. */
		pidfd_send_signal(check->pidfd, SIGKILL, NULL, 0);
		poll(&end, 1, REEXEC_CHECK_KILL_MS);
		waitid(P_PIDFD, check->pidfd, &(siginfo_t){}, WEXITED | WNOHANG);
	}
	cleanup_close(&check->pidfd);
	cleanup_close(&check->out);
	free(check);
}

/* What the answer means. Returns NULL if it is the right one, else @buf. */
static const char *reexec_check_judge(const struct reexec_check *check, char *buf, size_t size)
{
	char right[REEXEC_CHECK_SIZE];
	int abi, end = 0;

	snprintf(right, sizeof(right), REEXEC_CHECK_ANSWER, RPD_ABI_VERSION);
	if (!strcmp(check->answer, right))
		return NULL;
	if (sscanf(check->answer, "reuseportd ABI %d%n", &abi, &end) == 1 &&
	    !strcmp(check->answer + end, "\n"))
		snprintf(buf, size,
		         "it has layout %d of the pinned maps, and the services have layout %d: "
		         "stop them and start them with the new version",
		         abi, RPD_ABI_VERSION);
	else
		snprintf(buf, size,
		         "it does not answer `" REEXEC_CHECK_OPTION
		         "`: it is not reuseportd, it is damaged, or it is an older version");
	return buf;
}

static void reexec_check_end(struct reexec_check *check, const char *why)
{
	check->on_output = sd_event_source_disable_unref(check->on_output);
	check->timer = sd_event_source_disable_unref(check->timer);
	check->done(why, check->data); /* frees it */
}

static int reexec_check_on_output(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct reexec_check *check = data;
	char why[256];
	ssize_t n = read(fd, check->answer + check->n, sizeof(check->answer) - 1 - check->n);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n > 0)
		check->n += n;
	check->answer[check->n] = '\0';
	if (n > 0 && check->n < sizeof(check->answer) - 1)
		return 0; /* until its end */
	reexec_check_end(check, reexec_check_judge(check, why, sizeof(why)));
	return 0;
}

static int reexec_check_on_timer(sd_event_source *source, uint64_t now, void *data)
{
	reexec_check_end(data, "it does not answer `" REEXEC_CHECK_OPTION "` within a second");
	return 0;
}

/* Starts the program with its output in a pipe. All our descriptors are close-on-exec. */
static int reexec_check_spawn(struct reexec_check *check, const char *program, int in)
{
	char *const argv[] = {(char *)program, REEXEC_CHECK_OPTION, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	pid_t pid = 0;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, in, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
		                                     0);
	if (r == 0)
		r = posix_spawnp(&pid, program, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (r == 0) /* it can't be reaped before we return to the loop */
		check->pidfd = pidfd_open(pid, 0);
	return -r;
}

int reexec_check_begin(sd_event *loop, const char *program, reexec_check_done done, void *data,
                       struct reexec_check **ret, struct error *err)
{
	struct reexec_check *check = calloc(1, sizeof(*check));
	int ends[2] = {-1, -1}, r = check ? 0 : -ENOMEM;

	if (check)
		*check = (struct reexec_check){.done = done, .data = data, .out = -1, .pidfd = -1};
	if (r == 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0) {
		check->out = ends[0];
		fcntl(ends[1], F_SETFL, 0); /* for the program */
		r = reexec_check_spawn(check, program, ends[1]);
	}
	cleanup_close(&ends[1]);
	if (r == 0)
		r = sd_event_add_io(loop, &check->on_output, check->out, EPOLLIN,
		                    reexec_check_on_output, check);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &check->timer, CLOCK_MONOTONIC,
		                               REEXEC_CHECK_US, 1000, reexec_check_on_timer, check);
	if (r < 0) {
		reexec_check_free(check);
		return error_set(err, r, "can't execute %s: %s", program, strerror(-r));
	}
	*ret = check;
	return 0;
}
