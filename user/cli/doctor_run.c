/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/doctor_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/service_name.h"
#include "kern/spawn.h"
#include "supervise/reexec_check.h"

#define DOCTOR_RUN_NS      (20 * NS_PER_S)
#define DOCTOR_RUN_STOP_NS (5 * NS_PER_S)

/* Begins the error of the command. */
#define DOCTOR_RUN_ERROR "reuseportd run: "

/* The end of what it prints. */
struct doctor_run_output {
	char text[2048];
	size_t n;
};

static int doctor_run_start(int out, int *ret_pidfd, struct error *err)
{
	char name[RPD_LABEL_MAX];
	char *argv[] = {"/proc/self/exe",
	                "run",
	                "--service",
	                name,
	                "--workers",
	                "1",
	                "--no-restart",
	                "--ready",
	                "alive:1ms",
	                "--",
	                "/proc/self/exe",
	                REEXEC_CHECK_OPTION,
	                NULL};
	char *env[] = {NULL};
	const struct spawn_fd fds[] = {{out, STDOUT_FILENO}, {out, STDERR_FILENO}};
	const struct spawn_request request = {
	        .argv = argv,
	        .env = env,
	        .cwd = "/",
	        .cgroup = -1,
	        .fds = fds,
	        .n_fds = ARRAY_SIZE(fds),
	};

	snprintf(name, sizeof(name), SERVICE_NAME_TRIAL "%d", getpid());
	return spawn_start(&request, ret_pidfd, err);
}

/* Returns false at the end of the output. */
static bool doctor_run_read(int fd, struct doctor_run_output *output)
{
	char chunk[512];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (output->n + n >= sizeof(output->text)) {
		size_t drop = output->n + n - sizeof(output->text) + 1;

		memmove(output->text, output->text + drop, output->n - drop);
		output->n -= drop;
	}
	memcpy(output->text + output->n, chunk, n);
	output->n += n;
	output->text[output->n] = '\0';
	return true;
}

/* Reads its output until it has ended. Returns whether it has, within the time. */
static bool doctor_run_await(int pidfd, int out, struct doctor_run_output *output, int64_t ns)
{
	const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + ns;
	struct pollfd polled[] = {{pidfd, POLLIN, 0}, {out, POLLIN, 0}};

	for (;;) {
		int64_t left = deadline - clock_ns(CLOCK_MONOTONIC);

		if (left <= 0 || poll(polled, ARRAY_SIZE(polled), (int)(left / 1000000) + 1) < 0)
			return false;
		if (polled[1].revents && !doctor_run_read(out, output))
			polled[1].fd = -1;
		else if (!polled[1].revents && polled[0].revents)
			return true;
		polled[1].revents = 0;
		if (polled[1].fd < 0 && polled[0].revents)
			return true;
	}
}

/* What it has printed about its failure, as one line. */
static const char *doctor_run_reason(struct doctor_run_output *output)
{
	char *error = strstr(output->text, DOCTOR_RUN_ERROR);
	char *reason = error ? error + strlen(DOCTOR_RUN_ERROR) : output->text;

	for (size_t n = strlen(reason); n && reason[n - 1] == '\n'; n--)
		reason[n - 1] = '\0';
	for (char *at = reason; *at; at++)
		if (*at == '\n')
			*at = ';';
	return reason;
}

static int doctor_run_fail(struct doctor_checks *checks, const char *why)
{
	return doctor_checks_add(checks, CHECK_FAIL, "run",
	                         "allow what is refused; `run` refuses in the same way",
	                         "`run` does not work here: %s", why);
}

int doctor_run_check(struct doctor_checks *checks)
{
	_cleanup_close_ int out = -1, in = -1, pidfd = -1;
	struct doctor_run_output output = {};
	struct error err = {};
	siginfo_t info = {};
	int ends[2];
	bool ended;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return doctor_run_fail(checks, strerror(errno));
	out = ends[0];
	in = ends[1];
	fcntl(out, F_SETFL, O_NONBLOCK);
	if (doctor_run_start(in, &pidfd, &err) < 0)
		return doctor_run_fail(checks, err.text);
	cleanup_close(&in);
	in = -1;
	ended = doctor_run_await(pidfd, out, &output, DOCTOR_RUN_NS);
	if (!ended) {
		pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
		doctor_run_await(pidfd, out, &output, DOCTOR_RUN_STOP_NS);
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	}
	if (waitid(P_PIDFD, pidfd, &info, WEXITED | (ended ? 0 : WNOHANG)) == 0 && ended &&
	    info.si_code == CLD_EXITED && info.si_status == 0)
		return doctor_checks_add(checks, CHECK_OK, "run", NULL,
		                         "a service with one worker was started and stopped");
	return doctor_run_fail(checks, ended ? doctor_run_reason(&output)
	                                     : "a trial has not ended in time");
}
