/* SPDX-License-Identifier: BSD-2-Clause */
#include "run.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"

#define EVENTS_MAX 256

struct run {
	struct connections *connections;
	const struct options *options;
	struct results *results;
	int signals;
	bool hold_announced;
};

static bool run_all_begun(const struct run *run)
{
	const struct connections *connections = run->connections;
	uint64_t begun = run->results->begun;

	if (run->options->lifetime > 0)
		begun = connections->in_flight + connections->held;
	return connections->stopping ||
	       (run->options->connections && begun >= run->options->connections);
}

/* When the next connection is due; UINT64_MAX if none may begin now. */
static uint64_t run_next_begin_us(const struct run *run)
{
	const struct options *options = run->options;
	const struct results *results = run->results;

	if (run_all_begun(run) || run->connections->in_flight >= options->concurrency)
		return UINT64_MAX;
	if (options->rate <= 0)
		return results->start_us;
	return results->start_us + (uint64_t)((double)results->begun * 1e6 / options->rate);
}

static uint64_t run_end_us(const struct run *run)
{
	if (run->options->duration <= 0 || run->connections->stopping)
		return UINT64_MAX;
	return run->results->start_us + (uint64_t)(run->options->duration * 1e6);
}

/* Begins a limited number of connections, so that signals are handled even if every connection
 * fails at once. */
static void run_begin_due(struct run *run)
{
	uint64_t now = clock_now_us();

	if (now >= run_end_us(run))
		run->connections->stopping = true;
	for (uint64_t i = 0; i < run->options->concurrency && run_next_begin_us(run) <= now; i++)
		connections_begin(run->connections);
}

static void run_announce_hold(struct run *run)
{
	if (!run->options->hold || run->hold_announced || !run_all_begun(run) ||
	    run->connections->in_flight)
		return;
	run->hold_announced = true;
	printf("holding %" PRIu64 "\n", run->connections->held);
	fflush(stdout);
}

static bool run_is_over(const struct run *run)
{
	return run_all_begun(run) && run->connections->in_flight == 0 &&
	       (run->connections->stopping || !run->options->hold);
}

static int run_wait(const struct run *run, uint64_t now, struct epoll_event *events)
{
	uint64_t wake = run_next_begin_us(run);
	uint64_t expiry = connections_expiry_us(run->connections);
	uint64_t close = connections_close_us(run->connections);
	uint64_t end = run_end_us(run);
	struct timespec timeout = {0};

	wake = expiry < wake ? expiry : wake;
	wake = close < wake ? close : wake;
	wake = end < wake ? end : wake;
	if (wake > now) {
		timeout.tv_sec = (time_t)((wake - now) / 1000000);
		timeout.tv_nsec = (long)((wake - now) % 1000000) * 1000;
	}
	return epoll_pwait2(run->connections->epoll, events, EVENTS_MAX,
	                    wake == UINT64_MAX ? NULL : &timeout, NULL);
}

static void run_on_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signals, &info, sizeof(info)) == sizeof(info))
		run->connections->stopping = true;
}

static void run_on_stdin(struct run *run)
{
	char unread[4096];
	ssize_t n = read(STDIN_FILENO, unread, sizeof(unread));

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	run->connections->stopping = true;
	epoll_ctl(run->connections->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

static void run_dispatch(struct run *run, const struct epoll_event *event)
{
	if (event->data.ptr == &run->signals)
		run_on_signal(run);
	else if (event->data.ptr == stdin)
		run_on_stdin(run);
	else
		connection_ready(run->connections, event->data.ptr, event->events);
}

static void run_init_events(struct run *run)
{
	struct epoll_event on_signal = {.events = EPOLLIN, .data.ptr = &run->signals};
	struct epoll_event on_stdin = {.events = EPOLLIN, .data.ptr = stdin};
	int epoll = run->connections->epoll;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signals < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, run->signals, &on_signal) < 0)
		err(EXIT_FAILURE, "signals");
	/* epoll rejects a file or /dev/null (EPERM): then only a signal ends the hold. */
	if (run->options->hold && epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &on_stdin) < 0 &&
	    errno != EPERM && errno != EBADF)
		err(EXIT_FAILURE, "standard input");
}

void run_to_end(struct connections *connections)
{
	struct run state = {
	        .connections = connections,
	        .options = connections->options,
	        .results = connections->results,
	};
	struct epoll_event events[EVENTS_MAX];

	run_init_events(&state);
	state.results->start_us = state.results->settled_us = clock_now_us();
	while (!run_is_over(&state)) {
		uint64_t polled_us;
		int n;

		run_begin_due(&state);
		run_announce_hold(&state);
		if (run_is_over(&state))
			break;
		polled_us = clock_now_us();
		n = run_wait(&state, polled_us, events);
		if (n < 0 && errno != EINTR)
			err(EXIT_FAILURE, "epoll_pwait2");
		for (int i = 0; i < n; i++)
			run_dispatch(&state, &events[i]);
		connections_expire(connections, polled_us);
		if (state.options->lifetime > 0)
			connections_release(connections, polled_us);
	}
	connections_release(connections, UINT64_MAX);
	close(state.signals);
}
