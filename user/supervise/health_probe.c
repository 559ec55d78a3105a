/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/health_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/signal_name.h"
#include "core/http_answer.h"
#include "kern/cgroup.h"
#include "kern/probe_socket.h"
#include "kern/spawn.h"
#include "kern/steer_probes.h"
#include "service/service_lock.h"

#define END_MS 20 /* how long the end of a probe's command is waited for */

#define PROBE_TCP_NS (NS_PER_S / 10) /* a connection must stay open this long */

struct health_probe {
	enum ready_kind kind;
	char *argument;
	health_probe_done done;
	void *data;
	struct service *service;
	sd_event *loop;
	sd_event_source *source, *timer;

	/* TCP and HTTP */
	int fd;
	struct rpd_probe from;
	bool registered, connected;
	char answer[HTTP_ANSWER_MAX]; /* its beginning */
	size_t n;

	/* EXEC */
	int pidfd, cgroup_fd;
	uint32_t pid;
	int exit_status;
	char *cgroup_path;
	char cgroup_name[32];
};

/* Ends the steering of the probe's connection, which is established or has failed. */
static void health_probe_unregister(struct health_probe *run)
{
	_cleanup_service_lock_ struct service *service = NULL;
	struct error ignored;

	if (!run->registered)
		return;
	run->registered = false;
	if (service_lock(run->service, &service, &ignored) == 0)
		steer_probes_remove(&service->steer, &run->from);
}

static void health_probe_end_command(struct health_probe *run)
{
	if (run->cgroup_fd < 0)
		return;
	cgroup_kill(run->cgroup_fd);
	/* Some processes take long to die, for example in a system call that can't be interrupted:
	 * then the cgroup stays until the service ends. The reaper reaps the command. */
	cgroup_await_empty(run->cgroup_fd, END_MS);
	cgroup_remove(run->cgroup_path, run->cgroup_name);
}

void health_probe_cancel(struct health_probe *run)
{
	if (!run)
		return;
	health_probe_unregister(run);
	health_probe_end_command(run);
	sd_event_source_disable_unref(run->source);
	sd_event_source_disable_unref(run->timer);
	cleanup_close(&run->fd);
	cleanup_close(&run->pidfd);
	cleanup_close(&run->cgroup_fd);
	free(run->cgroup_path);
	free(run->argument);
	free(run);
}

/* Reports the result. done() may free the probe. */
static void health_probe_finish(struct health_probe *run, bool ok, const char *why)
{
	char text[HTTP_ANSWER_MAX + 128];

	if (run->source)
		sd_event_source_set_enabled(run->source, SD_EVENT_OFF);
	sd_event_source_set_enabled(run->timer, SD_EVENT_OFF);
	if (run->kind == READY_HTTP)
		snprintf(text, sizeof(text), "GET %s: %s", run->argument, why);
	else
		snprintf(text, sizeof(text), "%s", why);
	health_probe_unregister(run);
	run->done(ok, text, run->data);
}

/* --- HTTP */

static void health_probe_send_request(struct health_probe *run)
{
	_cleanup_free_ char *text = NULL;
	int n = asprintf(&text,
	                 "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: reuseportd\r\n"
	                 "Accept: */*\r\nConnection: close\r\n\r\n",
	                 run->argument);

	/* The request fits into an empty send buffer. */
	if (n < 0 || send(run->fd, text, n, MSG_NOSIGNAL) != n)
		health_probe_finish(run, false, "the connection was closed at once");
}

static void health_probe_read_answer(struct health_probe *run)
{
	ssize_t n = recv(run->fd, run->answer + run->n, sizeof(run->answer) - run->n, 0);
	struct http_answer answer;
	int r;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		health_probe_finish(run, false, strerror(errno));
		return;
	}
	if (n == 0) {
		health_probe_finish(run, false, "the connection was closed without an answer");
		return;
	}
	run->n += n;
	r = http_answer_parse(run->answer, run->n, &answer);
	if (r == 0)
		health_probe_finish(run, answer.status >= 200 && answer.status < 400, answer.text);
	else if (r == HTTP_ANSWER_BAD)
		health_probe_finish(run, false, "the answer is not HTTP");
}

/* --- the connection */

static int health_probe_on_tcp_stays(sd_event_source *source, uint64_t now, void *data)
{
	health_probe_finish(data, true, "connected");
	return 0;
}

static void health_probe_begin_talk(struct health_probe *run)
{
	run->connected = true;
	sd_event_source_set_io_events(run->source, EPOLLIN | EPOLLRDHUP);
	if (run->kind == READY_HTTP) {
		health_probe_send_request(run);
		return;
	}
	run->timer = sd_event_source_disable_unref(run->timer);
	memory_check(sd_event_add_time_relative(run->loop, &run->timer, CLOCK_MONOTONIC,
	                                        PROBE_TCP_NS / 1000, 1, health_probe_on_tcp_stays,
	                                        run));
}

static int health_probe_on_socket(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct health_probe *run = data;
	int error = 0;
	char byte;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)});
	if (error)
		health_probe_finish(run, false, strerror(error));
	else if (!run->connected)
		health_probe_begin_talk(run);
	else if (run->kind == READY_HTTP)
		health_probe_read_answer(run);
	else if (recv(fd, &byte, 1, MSG_PEEK) == 0)
		health_probe_finish(run, false, "the connection was closed at once");
	else
		health_probe_finish(run, true, "it talks");
	return 0;
}

static int health_probe_on_timeout(sd_event_source *source, uint64_t now, void *data)
{
	struct health_probe *run = data;

	health_probe_finish(run, false,
	                    run->kind == READY_EXEC ? "the command has not ended in time"
	                    : run->connected        ? "no answer in time"
	                                            : "the connection was not accepted in time");
	return 0;
}

static int health_probe_start_connection(struct health_probe *run,
                                         const struct health_probe_request *request,
                                         struct error *err)
{
	struct steer *steer = &request->service->steer;
	const struct rpd_endpoint *endpoint = &steer->service->endpoints[request->endpoint];
	int r;

	run->service = request->service;
	run->fd = probe_socket_open(endpoint, &run->from);
	if (run->fd < 0)
		return error_set(err, run->fd, "can't create a probe's socket: %s",
		                 strerror(-run->fd));
	r = steer_probes_set(steer, &run->from, request->index);
	if (r < 0)
		return error_set(err, r, "can't register a probe: %s", strerror(-r));
	run->registered = true;
	r = probe_socket_connect(endpoint, run->fd);
	if (r < 0 && r != -EINPROGRESS)
		return error_set(err, r, "%s", strerror(-r));
	return sd_event_add_io(run->loop, &run->source, run->fd, EPOLLOUT, health_probe_on_socket,
	                       run);
}

/* --- a command */

static int health_probe_on_command(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct health_probe *run = data;
	siginfo_t info = {};
	char text[128], signal[SIGNAL_NAME_MAX];

	waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG); /* as in worker.c */
	/* While a child has a copy of the descriptor, the loop would go on to watch a closed one.
	 */
	run->source = sd_event_source_disable_unref(run->source);
	cleanup_close(&run->pidfd);
	run->pidfd = -1;
	if (info.si_code == CLD_EXITED)
		run->exit_status = info.si_status;
	if (info.si_code == CLD_EXITED)
		snprintf(text, sizeof(text), "the command ended with status %d", info.si_status);
	else if (info.si_pid)
		snprintf(text, sizeof(text), "the command ended with signal %s",
		         signal_name_format(info.si_status, signal));
	else
		snprintf(text, sizeof(text), "the command is traced by another process");
	health_probe_finish(run, info.si_code == CLD_EXITED && info.si_status == 0, text);
	return 0;
}

/* The command is the workers' user's: our own output is not for it. */
static int health_probe_start_command(struct health_probe *run,
                                      const struct health_probe_request *request, struct error *err)
{
	static unsigned int number;
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct spawn_fd fds[] = {{null, STDOUT_FILENO}, {null, STDERR_FILENO}};
	struct spawn_request command = {
	        .argv = (char *const[]){"/bin/sh", "-c", run->argument, NULL},
	        .env = request->env,
	        .cwd = request->cwd,
	        .user = request->user,
	        .group = request->group,
	        .identity = request->identity,
	        .fds = fds,
	        .n_fds = ARRAY_SIZE(fds),
	};
	int r;

	if (null < 0)
		return error_set(err, -errno, "can't open /dev/null: %s", strerror(errno));
	run->cgroup_path = strdup(request->cgroup_path);
	if (!run->cgroup_path)
		return error_set(err, -ENOMEM, "out of memory");
	snprintf(run->cgroup_name, sizeof(run->cgroup_name), "probe-%u", number++);
	run->cgroup_fd = cgroup_make(run->cgroup_path, run->cgroup_name, err);
	if (run->cgroup_fd < 0)
		return run->cgroup_fd;
	command.cgroup = run->cgroup_fd;
	r = spawn_start(&command, &run->pidfd, err);
	if (r < 0)
		return r;
	run->pid = (uint32_t)r;
	return sd_event_add_io(run->loop, &run->source, run->pidfd, EPOLLIN,
	                       health_probe_on_command, run);
}

int health_probe_exit_status(const struct health_probe *run)
{
	return run->exit_status;
}

uint32_t health_probe_pid(const struct health_probe *run)
{
	return run->pidfd < 0 ? 0 : run->pid;
}

int health_probe_start(sd_event *loop, const struct health_probe_request *request,
                       struct health_probe **ret, struct error *err)
{
	struct health_probe *run = calloc(1, sizeof(*run));
	int r;

	if (!run)
		return error_set(err, -ENOMEM, "out of memory");
	run->loop = loop;
	run->fd = run->pidfd = run->cgroup_fd = run->exit_status = -1;
	run->kind = request->kind;
	run->done = request->done;
	run->data = request->data;
	run->argument = strdup(request->argument ? request->argument : "");
	r = run->argument ? 0 : error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = run->kind == READY_EXEC ? health_probe_start_command(run, request, err)
		                            : health_probe_start_connection(run, request, err);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &run->timer, CLOCK_MONOTONIC,
		                               request->timeout / 1000, 1000,
		                               health_probe_on_timeout, run);
	if (r < 0) {
		health_probe_cancel(run);
		return r;
	}
	*ret = run;
	return 0;
}
