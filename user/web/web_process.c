/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/web_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/parse.h"
#include "base/signal_name.h"
#include "web/http_library.h"
#include "web/http_listener.h"
#include "kern/netns.h"
#include "kern/spawn.h"
#include "stream/log.h"

#define AGAIN_US 1000000
#define KILL_MS  5000

/* The descriptors of the listeners, over an exec() of this process. */
#define ENV_LISTENER "REUSEPORTD_LISTENER_"
#define ENV_AGENT    "REUSEPORTD_AGENT_LISTENER_"
#define ENV_MAX      64

#define FIRST_FD 3  /* as sd_listen_fds(3) has it */
#define ARGV_MAX 16 /* more than a command line has */

static void web_process_clear(struct web_process *process)
{
	*process = (struct web_process){.pidfd = -1, .lifeline = -1};
	http_server_init(&process->server, &process->settings);
}

static void web_process_forget(struct web_process *process)
{
	process->on_end = sd_event_source_disable_unref(process->on_end);
	cleanup_close(&process->pidfd);
	cleanup_close(&process->lifeline);
	process->pidfd = process->lifeline = -1;
}

static void web_process_kill(struct web_process *process)
{
	if (process->pidfd >= 0) {
		struct pollfd end = {.fd = process->pidfd, .events = POLLIN};

		/* The wait has an end: root may hold the process by ptrace(). */
		syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
		poll(&end, 1, KILL_MS);
		waitid(P_PIDFD, process->pidfd, &(siginfo_t){}, WEXITED | WNOHANG);
	}
	web_process_forget(process);
	process->again = sd_event_source_disable_unref(process->again);
}

static void web_process_drop_listener(int *listener)
{
	cleanup_close(listener);
	*listener = -1;
}

/* --- the listeners */

static const char *web_process_env(const char *prefix, const char *name, char buf[ENV_MAX])
{
	snprintf(buf, ENV_MAX, "%s%s", prefix, name);
	return buf;
}

static int web_process_read_env(const char *prefix, const char *name)
{
	char env[ENV_MAX];
	const char *value = getenv(web_process_env(prefix, name, env));
	struct http_address ignored;
	long fd = -1;

	if (value &&
	    (parse_long(value, STDERR_FILENO + 1, INT_MAX, &fd) < 0 ||
	     http_listener_read((int)fd, &ignored) < 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0))
		fd = -1;
	unsetenv(env);
	return (int)fd;
}

static void web_process_set_env(const char *prefix, const char *name, int listener)
{
	char env[ENV_MAX], value[16];

	if (listener < 0)
		return;
	snprintf(value, sizeof(value), "%d", listener);
	setenv(web_process_env(prefix, name, env), value, true);
	fcntl(listener, F_SETFD, 0);
}

static void web_process_clear_env(const char *prefix, const char *name, int listener)
{
	char env[ENV_MAX];

	unsetenv(web_process_env(prefix, name, env));
	if (listener >= 0)
		fcntl(listener, F_SETFD, FD_CLOEXEC);
}

void web_process_init(struct web_process *process, const char *name)
{
	web_process_clear(process);
	process->server.listener = web_process_read_env(ENV_LISTENER, name);
	process->server.agent.listener = web_process_read_env(ENV_AGENT, name);
}

void web_process_pass(struct web_process *process)
{
	web_process_kill(process);
	if (!process->command)
		return;
	web_process_set_env(ENV_LISTENER, process->command->name, process->server.listener);
	web_process_set_env(ENV_AGENT, process->command->name, process->server.agent.listener);
}

/* After an exec() that has failed. */
static void web_process_keep(struct web_process *process)
{
	web_process_clear_env(ENV_LISTENER, process->command->name, process->server.listener);
	web_process_clear_env(ENV_AGENT, process->command->name, process->server.agent.listener);
}

/* Closes a listener that was passed for another address. */
static void web_process_check_passed(int *listener, const struct http_address *wanted)
{
	struct http_address passed;

	if (*listener >= 0 &&
	    (http_listener_read(*listener, &passed) < 0 || !http_address_equal(&passed, wanted)))
		web_process_drop_listener(listener);
}

static int web_process_take(struct web_process *process, const struct web_process_command *command,
                            struct error *err)
{
	const struct http_address agent = {.tcp = command->agent};
	int r = http_library_check(err);

	if (r < 0)
		return r;
	web_process_check_passed(&process->server.listener, &command->address);
	web_process_check_passed(&process->server.agent.listener, &agent);
	process->settings.address = command->address;
	process->settings.agent = command->agent;
	process->settings.what = command->what;
	process->command = command;
	return 0;
}

int web_process_bind(struct web_process *process, const struct web_process_command *command,
                     struct error *err)
{
	int r = web_process_take(process, command, err);

	if (r == 0)
		r = http_server_await_bind(&process->server, err);
	if (r < 0)
		process->command = NULL;
	return r;
}

void web_process_bind_later(struct web_process *process, const struct web_process_command *command)
{
	struct error err = {};

	if (web_process_take(process, command, &err) < 0) {
		log_line("reuseportd: can't serve %s: %s", command->what, err.text);
		return;
	}
	http_server_bind(&process->server, &err); /* else web_process_start() does */
}

static size_t web_process_add(const char **argv, size_t n, const char *name, const char *value)
{
	if (!value)
		return n;
	argv[n++] = name;
	argv[n++] = value;
	return n;
}

/* The child begins in the network namespace that the parent had at first, and not in that of a
 * service. */
static int web_process_spawn(struct web_process *process, int lifeline, struct error *err)
{
	const struct web_process_command *command = process->command;
	char address[HTTP_ADDRESS_TEXT_MAX], agent[ENDPOINT_TEXT_MAX];
	const struct spawn_fd fds[] = {{process->server.listener, FIRST_FD},
	                               {lifeline, FIRST_FD + 1},
	                               {process->server.agent.listener, FIRST_FD + 2}};
	const bool has_agent = process->server.agent.listener >= 0;
	const char *argv[ARGV_MAX] = {"/proc/self/exe", command->name};
	char *env[] = {has_agent ? "LISTEN_FDS=3" : "LISTEN_FDS=2", "LISTEN_PID=0", NULL};
	const struct spawn_request request = {
	        .argv = (char *const *)argv,
	        .env = env,
	        .cwd = "/",
	        .cgroup = -1,
	        .fds = fds,
	        .n_fds = has_agent ? 3 : 2,
	        .listen_pid = true,
	};
	size_t n = web_process_add(argv, 2, "--listen",
	                           http_address_format(&command->address, address));
	int r = netns_return(process->server.home, err);

	n = web_process_add(argv, n, "--token-file", command->token_file);
	n = web_process_add(argv, n, "--host", command->host);
	n = web_process_add(argv, n, "--min-live", command->min_live);
	if (has_agent)
		n = web_process_add(argv, n, "--agent",
		                    endpoint_format(&command->agent, agent, sizeof(agent)));
	if (command->admin)
		argv[n++] = "--admin";
	argv[n] = process->service;
	return r < 0 ? r : spawn_start(&request, &process->pidfd, err);
}

static int web_process_on_again(sd_event_source *source, uint64_t now, void *data)
{
	struct web_process *process = data;

	process->again = sd_event_source_disable_unref(process->again);
	web_process_start(process->loop, process);
	return 0;
}

static void web_process_start_again(struct web_process *process)
{
	memory_check(sd_event_add_time_relative(process->loop, &process->again, CLOCK_MONOTONIC,
	                                        AGAIN_US, 0, web_process_on_again, process));
}

static int web_process_on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct web_process *process = data;
	char signal[SIGNAL_NAME_MAX], end[64] = "";
	siginfo_t info = {};

	if (waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG) == 0 && info.si_code == CLD_EXITED)
		snprintf(end, sizeof(end), " (exit status %d)", info.si_status);
	else if (info.si_pid)
		snprintf(end, sizeof(end), " (signal %s)",
		         signal_name_format(info.si_status, signal));
	log_line("reuseportd: the process that serves %s (pid %u) has ended%s: it is started again",
	         process->command->what, process->pid, end);
	web_process_forget(process);
	web_process_start_again(process);
	return 0;
}

static int web_process_try_start(struct web_process *process, struct error *err)
{
	_cleanup_close_ int theirs = -1;
	int ends[2], r;

	r = http_server_bind(&process->server, err);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, -errno, "can't make a pipe: %s", strerror(errno));
	theirs = ends[0];
	process->lifeline = ends[1];
	r = web_process_spawn(process, theirs, err);
	if (r < 0)
		return r;
	process->pid = (uint32_t)r;
	r = sd_event_add_io(process->loop, &process->on_end, process->pidfd, EPOLLIN,
	                    web_process_on_end, process);
	return r < 0 ? error_set(err, r, "can't watch pid %u: %s", process->pid, strerror(-r)) : 0;
}

void web_process_start(sd_event *loop, void *data)
{
	struct web_process *process = data;
	struct error err = {};

	if (!process->command) {
		web_process_drop_listener(&process->server.listener);
		web_process_drop_listener(&process->server.agent.listener);
		return;
	}
	process->loop = loop;
	web_process_keep(process);
	if (web_process_try_start(process, &err) == 0) {
		process->failure_is_logged = false;
		return;
	}
	if (!process->failure_is_logged)
		log_line("reuseportd: %s; this is tried again every second", err.text);
	process->failure_is_logged = true;
	web_process_forget(process);
	web_process_start_again(process);
}

void web_process_end(struct web_process *process)
{
	web_process_kill(process);
	http_server_stop(&process->server);
	web_process_clear(process);
}
