/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/exporter_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/signal_name.h"
#include "cli/http_library.h"
#include "core/endpoint.h"
#include "kern/netns.h"
#include "kern/spawn.h"
#include "stream/log.h"

#define AGAIN_US 1000000
#define KILL_MS  1000

#define FIRST_FD 3 /* as sd_listen_fds(3) has it */

void exporter_process_init(struct exporter_process *process)
{
	*process = (struct exporter_process){.pidfd = -1, .lifeline = -1};
	exporter_init(&process->exporter);
}

int exporter_process_bind(struct exporter_process *process, const struct rpd_endpoint *address,
                          struct error *err)
{
	int r = http_library_check(err);

	if (r == 0)
		r = exporter_await_bind(&process->exporter, address, err);
	if (r == 0)
		process->address = address;
	return r;
}

void exporter_process_bind_later(struct exporter_process *process,
                                 const struct rpd_endpoint *address)
{
	struct error err = {};
	int r = http_library_check(&err);

	if (r < 0) {
		log_line("reuseportd: the metrics are not served: %s", err.text);
		return;
	}
	process->address = address;
	exporter_bind(&process->exporter, address, &err); /* else exporter_process_start() does */
}

/* The child begins in the network namespace that the parent had at first, and not in that of a
 * service. */
static int exporter_process_spawn(struct exporter_process *process, int lifeline, struct error *err)
{
	char address[ENDPOINT_TEXT_MAX];
	const struct spawn_fd fds[] = {{process->exporter.listener, FIRST_FD},
	                               {lifeline, FIRST_FD + 1}};
	char *argv[] = {"/proc/self/exe",
	                "metrics",
	                "--listen",
	                (char *)endpoint_format(process->address, address, sizeof(address)),
	                (char *)process->service,
	                NULL};
	char *env[] = {"LISTEN_FDS=2", "LISTEN_PID=0", NULL};
	const struct spawn_request request = {
	        .argv = argv,
	        .env = env,
	        .cwd = "/",
	        .cgroup = -1,
	        .fds = fds,
	        .n_fds = ARRAY_SIZE(fds),
	        .listen_pid = true,
	};
	int r = netns_return(process->exporter.home, err);

	return r < 0 ? r : spawn_start(&request, &process->pidfd, err);
}

static int exporter_process_on_again(sd_event_source *source, uint64_t now, void *data)
{
	struct exporter_process *process = data;

	process->again = sd_event_source_disable_unref(process->again);
	exporter_process_start(process->loop, process);
	return 0;
}

static void exporter_process_start_again(struct exporter_process *process)
{
	memory_check(sd_event_add_time_relative(process->loop, &process->again, CLOCK_MONOTONIC,
	                                        AGAIN_US, 0, exporter_process_on_again, process));
}

static void exporter_process_forget(struct exporter_process *process)
{
	process->on_end = sd_event_source_disable_unref(process->on_end);
	cleanup_close(&process->pidfd);
	cleanup_close(&process->lifeline);
	process->pidfd = process->lifeline = -1;
}

static int exporter_process_on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct exporter_process *process = data;
	char signal[SIGNAL_NAME_MAX], end[64] = "";
	siginfo_t info = {};

	if (waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG) == 0 && info.si_code == CLD_EXITED)
		snprintf(end, sizeof(end), " (exit status %d)", info.si_status);
	else if (info.si_pid)
		snprintf(end, sizeof(end), " (signal %s)",
		         signal_name_format(info.si_status, signal));
	log_line(
	        "reuseportd: the process that serves the metrics (pid %u) has ended%s: it is "
	        "started again",
	        process->pid, end);
	exporter_process_forget(process);
	exporter_process_start_again(process);
	return 0;
}

static int exporter_process_try_start(struct exporter_process *process, struct error *err)
{
	_cleanup_close_ int theirs = -1;
	int ends[2], r = 0;

	if (process->exporter.listener < 0)
		r = exporter_bind(&process->exporter, process->address, err);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, -errno, "can't make a pipe: %s", strerror(errno));
	theirs = ends[0];
	process->lifeline = ends[1];
	r = exporter_process_spawn(process, theirs, err);
	if (r < 0)
		return r;
	process->pid = (uint32_t)r;
	r = sd_event_add_io(process->loop, &process->on_end, process->pidfd, EPOLLIN,
	                    exporter_process_on_end, process);
	return r < 0 ? error_set(err, r, "can't watch pid %u: %s", process->pid, strerror(-r)) : 0;
}

void exporter_process_start(sd_event *loop, void *data)
{
	struct exporter_process *process = data;
	struct error err = {};

	if (!process->address)
		return;
	process->loop = loop;
	if (exporter_process_try_start(process, &err) == 0) {
		process->failure_is_logged = false;
		return;
	}
	if (!process->failure_is_logged)
		log_line(
		        "reuseportd: the metrics are not served yet: %s; this is tried again "
		        "every second",
		        err.text);
	process->failure_is_logged = true;
	exporter_process_forget(process);
	exporter_process_start_again(process);
}

void exporter_process_kill(void *data)
{
	struct exporter_process *process = data;

	if (process->pidfd >= 0) {
		struct pollfd end = {.fd = process->pidfd, .events = POLLIN};

		/* The wait has an end: root may hold the process by ptrace(). */
		syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
		poll(&end, 1, KILL_MS);
		waitid(P_PIDFD, process->pidfd, &(siginfo_t){}, WEXITED | WNOHANG);
	}
	exporter_process_forget(process);
	process->again = sd_event_source_disable_unref(process->again);
}

void exporter_process_end(struct exporter_process *process)
{
	exporter_process_kill(process);
	exporter_stop(&process->exporter);
	exporter_process_init(process);
}
