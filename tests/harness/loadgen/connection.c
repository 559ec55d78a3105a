/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "clock.h"

#define SPARE_FDS 16

static struct connection *connection_new(struct connections *all)
{
	struct connection *connection = SLIST_FIRST(&all->unused);

	if (connection)
		SLIST_REMOVE_HEAD(&all->unused, unused);
	else
		connection = &all->pool[all->pool_touched++];
	connection->worker = NULL;
	connection->answers = 0;
	connection->sent = 0;
	connection->fd = -1;
	connection->watched = 0;
	connection->held = false;
	answer_reset(&connection->answer);
	return connection;
}

static void connection_log(struct connections *all, const struct connection *connection,
                           uint64_t end_us, enum outcome outcome)
{
	fprintf(all->log, "%" PRIu64 " %" PRIu64 " %td %s %s\n", connection->begin_us, end_us,
	        connection->target - all->targets,
	        connection->worker ? connection->worker->id : "-", outcome_name(outcome));
}

static void connection_close(struct connections *all, struct connection *connection)
{
	const struct linger at_once = {.l_onoff = 1};

	if (connection->fd < 0)
		return;
	if (all->options->linger0)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(connection->fd);
}

/* Every connection that was begun ends here, and is counted once. */
static void connection_finish(struct connections *all, struct connection *connection,
                              enum outcome outcome)
{
	uint64_t end_us = clock_now_us();

	all->results->outcomes[outcome]++;
	if (outcome == OUTCOME_OK) {
		if (!connection->worker)
			connection->worker = workers_get(&all->results->workers, "", 0);
		connection->worker->connections++;
	}
	if (all->log)
		connection_log(all, connection, end_us, outcome);
	if (connection->held) {
		all->held--;
	} else {
		all->in_flight--;
		all->results->settled_us = end_us;
		TAILQ_REMOVE(&all->waiting, connection, waiting);
	}
	connection_close(all, connection);
	connection->held = false;
	SLIST_INSERT_HEAD(&all->unused, connection, unused);
}

static void connection_fail(struct connections *all, struct connection *connection,
                            const char *what, int error)
{
	enum outcome outcome = outcome_of_errno(error);

	if (outcome == OUTCOME_LOCAL_ERROR && all->results->outcomes[outcome] == 0 &&
	    !all->options->quiet) {
		errno = error;
		warn("%s %s (the first local error)", what, connection->target->address.text);
	}
	connection_finish(all, connection, outcome);
}

/* Returns 0 or -errno. */
static int connection_watch(struct connections *all, struct connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	if (connection->watched == events)
		return 0;
	if (epoll_ctl(all->epoll, connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
	              connection->fd, &event) < 0)
		return -errno;
	connection->watched = events;
	return 0;
}

static void connection_hold(struct connections *all, struct connection *connection)
{
	TAILQ_REMOVE(&all->waiting, connection, waiting);
	connection->held = true;
	connection->close_us = UINT64_MAX;
	if (all->options->lifetime > 0)
		connection->close_us =
		        clock_now_us() + (uint64_t)(drand48() * all->options->lifetime * 1e6);
	all->held++;
	all->in_flight--;
	all->results->settled_us = clock_now_us();
}

/*
 * Sends the rest of the request. On loopback the handshake is complete when connect() returns, so
 * the first call succeeds and needs no wakeup. Otherwise send() returns EAGAIN.
 */
static void connection_send(struct connections *all, struct connection *connection)
{
	const struct target *target = connection->target;
	uint32_t events = EPOLLIN;
	int r;

	while (connection->sent < target->request_len) {
		ssize_t n = send(connection->fd, target->request + connection->sent,
		                 target->request_len - connection->sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN) {
			connection_fail(all, connection, "send to", errno);
			return;
		}
		if (n < 0)
			break;
		connection->sent += (size_t)n;
	}
	if (connection->sent < target->request_len || target->request_len == 0)
		events |= EPOLLOUT;
	r = connection_watch(all, connection, events);
	if (r < 0)
		connection_fail(all, connection, "epoll for", -r);
}

/* With an empty request no answer is expected: an established connection has succeeded. */
static void connection_connected(struct connections *all, struct connection *connection)
{
	int error = 0, r;
	socklen_t len = sizeof(error);

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		connection_fail(all, connection, "connect to", error);
		return;
	}
	latency_add(&all->results->latency, clock_now_us() - connection->begin_us);
	if (!all->options->hold) {
		connection_finish(all, connection, OUTCOME_OK);
		return;
	}
	r = connection_watch(all, connection, EPOLLIN);
	if (r < 0)
		connection_fail(all, connection, "epoll for", -r);
	else
		connection_hold(all, connection);
}

static void connection_answered(struct connections *all, struct connection *connection)
{
	const struct options *options = all->options;
	struct answer *answer = &connection->answer;
	uint64_t now = clock_now_us();

	all->results->answers++;
	connection->answers++;
	latency_add(&all->results->latency, now - connection->asked_us);
	if (!connection->worker) {
		size_t len;
		const char *id = answer_worker(answer, &len);

		connection->worker = workers_get(&all->results->workers, id, len);
	}
	if (options->hold) {
		connection_hold(all, connection);
	} else if (connection->answers < options->keepalive && !answer->last_on_line &&
	           !all->stopping) {
		answer_reset(answer);
		connection->sent = 0;
		connection->asked_us = now;
		TAILQ_REMOVE(&all->waiting, connection, waiting);
		TAILQ_INSERT_TAIL(&all->waiting, connection, waiting);
		connection_send(all, connection);
	} else {
		connection_finish(all, connection, OUTCOME_OK);
	}
}

static void connection_receive(struct connections *all, struct connection *connection)
{
	ssize_t n = recv(connection->fd, all->scratch, sizeof(all->scratch), 0);

	if (n < 0) {
		if (errno != EAGAIN)
			connection_fail(all, connection, "receive from", errno);
		return;
	}
	if (connection->held) {
		if (n == 0)
			connection_finish(all, connection, OUTCOME_CLOSED_EARLY);
		return;
	}
	if (n == 0) {
		if (answer_ends_at_eof(&connection->answer) && !all->options->hold)
			connection_answered(all, connection);
		else
			connection_finish(all, connection, OUTCOME_CLOSED_EARLY);
		return;
	}
	switch (answer_add(&connection->answer, all->scratch, (size_t)n)) {
	case ANSWER_PART:
		break;
	case ANSWER_WHOLE:
		connection_answered(all, connection);
		break;
	case ANSWER_BAD:
		connection_finish(all, connection, OUTCOME_BAD_ANSWER);
		break;
	}
}

void connection_ready(struct connections *all, struct connection *connection, uint32_t events)
{
	bool connecting = connection->target->request_len == 0 && !connection->held;

	if (connecting)
		connection_connected(all, connection);
	else if (events & ~(uint32_t)EPOLLOUT)
		connection_receive(all, connection);
	else
		connection_send(all, connection);
}

void connections_begin(struct connections *all)
{
	struct connection *connection = connection_new(all);

	connection->target = &all->targets[all->results->begun++ % all->options->targets.n];
	connection->begin_us = connection->asked_us = clock_now_us();
	all->in_flight++;
	TAILQ_INSERT_TAIL(&all->waiting, connection, waiting);
	connection->fd = target_connect(connection->target);
	if (connection->fd < 0)
		connection_fail(all, connection, "connect to", -connection->fd);
	else
		connection_send(all, connection);
}

uint64_t connections_expiry_us(const struct connections *all)
{
	const struct connection *first = TAILQ_FIRST(&all->waiting);

	return first ? first->asked_us + all->options->timeout_us : UINT64_MAX;
}

void connections_expire(struct connections *all, uint64_t polled_us)
{
	while (polled_us >= connections_expiry_us(all))
		connection_finish(all, TAILQ_FIRST(&all->waiting), OUTCOME_TIMEOUT);
}

/* A walk, as a run with a lifetime has few connections and few events. */
uint64_t connections_close_us(const struct connections *all)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < all->pool_touched && all->options->lifetime > 0; i++) {
		if (all->pool[i].held && all->pool[i].close_us < first)
			first = all->pool[i].close_us;
	}
	return first;
}

void connections_release(struct connections *all, uint64_t now)
{
	for (size_t i = 0; i < all->pool_touched; i++) {
		if (all->pool[i].held && all->pool[i].close_us <= now)
			connection_finish(all, &all->pool[i], OUTCOME_OK);
	}
}

/* Allocates the connections that can be open at the same time, and raises the descriptor limit. */
static void connections_init_pool(struct connections *all)
{
	const struct options *options = all->options;
	struct rlimit limit;

	all->pool_size = options->hold ? options->connections : options->concurrency;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "getrlimit");
	if (all->pool_size + SPARE_FDS > limit.rlim_max)
		errx(EXIT_USAGE, "%zu connections at once: the descriptor limit is %ju",
		     all->pool_size, (uintmax_t)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "setrlimit");
	all->pool = calloc(all->pool_size, sizeof(*all->pool));
	if (!all->pool)
		err(EXIT_FAILURE, "%zu connections", all->pool_size);
}

void connections_init(struct connections *all, const struct options *options,
                      struct results *results)
{
	all->options = options;
	all->results = results;
	SLIST_INIT(&all->unused);
	TAILQ_INIT(&all->waiting);
	all->targets = targets_new(options);
	connections_init_pool(all);
	all->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (all->epoll < 0)
		err(EXIT_FAILURE, "epoll");
	if (options->log) {
		all->log = fopen(options->log, "we");
		if (!all->log)
			err(EXIT_FAILURE, "log %s", options->log);
	}
}

bool connections_deinit(struct connections *all)
{
	bool written = true;

	if (all->log) {
		written = !ferror(all->log);
		written = fclose(all->log) == 0 && written;
	}
	targets_free(all->targets, all->options->targets.n);
	free(all->pool);
	close(all->epoll);
	return written;
}
