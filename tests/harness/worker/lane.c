/* SPDX-License-Identifier: BSD-2-Clause */
#include "lane.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "source.h"

#define EVENTS_MAX   64
#define ACCEPTS_MAX  16 /* in a row, before the open connections get their turn */
#define IDLE_SECONDS 5  /* --accept-blocking: how long a silent client may block the lane */

struct lane {
	const struct options *options;
	struct service service;
	int *row; /* its listeners, in the array of all rows */
	struct source listeners[ADDRESS_MAX];
	struct source orders_given; /* an eventfd, readable when there is an order */
	atomic_uint orders;
	int epoll; /* -1: blocking */
	bool accepting;
	bool terminating;
	int64_t deadline_ms; /* when terminating */
	struct connection_list connections;
	pthread_t thread;
};

/* With epoll */

static void lane_on_connection(struct lane *lane, struct source *source)
{
	struct connection *connection = (struct connection *)source;

	if (!connection_serve(connection, &lane->service))
		connection_free(connection);
}

static bool lane_poll_connection(struct lane *lane, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (epoll_ctl(lane->epoll, EPOLL_CTL_ADD, connection->source.fd, &event) < 0) {
		warn("epoll for a connection");
		return false;
	}
	connection_add(connection, &lane->connections);
	return true;
}

/* Reads at once: the request has usually arrived, so the connection needs no epoll event. */
static void lane_begin_connection(struct lane *lane, int fd)
{
	struct connection *connection = connection_new(fd);

	if (!connection)
		return;
	connection->source.ready = lane_on_connection;
	if (!connection_serve(connection, &lane->service) ||
	    !lane_poll_connection(lane, connection))
		connection_free(connection);
}

static void lane_on_listener(struct lane *lane, struct source *source)
{
	if (!lane->accepting)
		return;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			lane_begin_connection(lane, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != ECONNABORTED && errno != EINTR) {
			warn("accept");
			usleep(10000);
			return;
		}
	}
}

/* A lane that doesn't accept polls its listener edge-triggered, so that it doesn't loop. */
static int lane_poll_listener(struct lane *lane, struct source *listener, int operation)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

	if (!lane->accepting)
		event.events |= (uint32_t)EPOLLET;
	if (lane->options->exclusive)
		event.events |= EPOLLEXCLUSIVE;
	return epoll_ctl(lane->epoll, operation, listener->fd, &event);
}

/* Another process may hold a duplicate; close() alone would leave the listener in the epoll
 * instance. */
static void lane_close_listeners(struct lane *lane)
{
	for (size_t i = 0; i < lane->options->n_addresses; i++) {
		struct source *listener = &lane->listeners[i];

		if (listener->fd < 0)
			continue;
		if (lane->epoll >= 0)
			epoll_ctl(lane->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
		close(listener->fd);
		listener->fd = lane->row[i] = -1;
	}
}

static void lane_accept(struct lane *lane)
{
	if (lane->accepting)
		return;
	lane->accepting = true;
	for (size_t i = 0; lane->epoll >= 0 && i < lane->options->n_addresses; i++) {
		struct source *listener = &lane->listeners[i];

		if (listener->fd >= 0 && lane_poll_listener(lane, listener, EPOLL_CTL_MOD) < 0)
			warn("epoll for a listener");
	}
}

/*
 * Closes idle connections, which have been answered and wait for a further request. A
 * connection without any request yet may still send one until the grace time is over.
 */
static void lane_close_idle(struct lane *lane)
{
	struct connection *connection = LIST_FIRST(&lane->connections);

	while (connection) {
		struct connection *next = LIST_NEXT(connection, all);
		bool keep = connection_serve(connection, &lane->service);

		if (!keep || connection_is_idle(connection))
			connection_free(connection);
		connection = next;
	}
}

/* How many connections wait to be accepted. */
static unsigned lane_count_waiting(const struct lane *lane)
{
	unsigned n = 0;

	for (size_t i = 0; i < lane->options->n_addresses; i++) {
		struct tcp_info info = {0};
		socklen_t len = sizeof(info);

		if (getsockopt(lane->listeners[i].fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
			n += info.tcpi_unacked;
	}
	return n;
}

/* No signal interrupts this: the main thread takes them. */
static void lane_hang(const struct lane *lane)
{
	printf("hangs %u\n", lane_count_waiting(lane));
	fflush(stdout);
	if (lane->options->hang_ms)
		usleep((useconds_t)lane->options->hang_ms * 1000);
	while (!lane->options->hang_ms)
		pause();
}

static void lane_obey(struct lane *lane)
{
	unsigned orders = atomic_load(&lane->orders);

	if (orders & (ORDER_CLOSE | ORDER_TERMINATE))
		lane_close_listeners(lane);
	if (orders & ORDER_HANG)
		lane_hang(lane);
	if (orders & ORDER_ACCEPT)
		lane_accept(lane);
	if (orders & ORDER_TERMINATE && !lane->terminating) {
		lane->terminating = lane->service.last = true;
		lane->deadline_ms = clock_now_ms() + lane->options->grace_ms;
		lane_close_idle(lane);
	}
	atomic_fetch_and(&lane->orders, ~orders);
}

static void lane_on_orders(struct lane *lane, struct source *source)
{
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		warn("orders");
}

static bool lane_is_done(const struct lane *lane)
{
	return lane->terminating &&
	       (LIST_EMPTY(&lane->connections) || clock_now_ms() >= lane->deadline_ms);
}

static int lane_timeout(const struct lane *lane)
{
	const struct connection *first = TAILQ_FIRST(&lane->service.working);
	int64_t left, due = first ? first->answer_ms : INT64_MAX;

	if (lane->terminating && lane->deadline_ms < due)
		due = lane->deadline_ms;
	if (due == INT64_MAX)
		return -1;
	left = due - clock_now_ms();
	return left > 0 ? (int)left : 0;
}

static void lane_end_work(struct lane *lane)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&lane->service.working)) &&
	       connection->answer_ms <= clock_now_ms()) {
		if (!connection_end_work(connection, &lane->service))
			connection_free(connection);
	}
}

static void *lane_run(void *data)
{
	struct lane *lane = data;
	struct epoll_event events[EVENTS_MAX];

	while (!lane_is_done(lane)) {
		int n = epoll_wait(lane->epoll, events, EVENTS_MAX, lane_timeout(lane));

		if (n < 0 && errno != EINTR)
			err(EXIT_FAILURE, "epoll_wait");
		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(lane, source);
		}
		/* After the events, as these may point to connections that are closed here. */
		lane_end_work(lane);
		if (atomic_load(&lane->orders))
			lane_obey(lane);
	}
	while (!LIST_EMPTY(&lane->connections))
		connection_free(LIST_FIRST(&lane->connections));
	return NULL;
}

/* Blocking in accept() */

static void lane_serve_blocking(struct lane *lane, int fd)
{
	const struct timeval patience = {.tv_sec = IDLE_SECONDS};
	struct connection *connection = connection_new(fd);

	if (!connection)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (connection_serve(connection, &lane->service))
		;
	connection_free(connection);
}

static void *lane_run_blocking(void *data)
{
	struct lane *lane = data;
	struct source *listener = &lane->listeners[0];

	for (;;) {
		int fd;

		lane_obey(lane);
		if (lane->terminating)
			return NULL;
		if (!lane->accepting || listener->fd < 0) {
			lane_on_orders(lane, &lane->orders_given);
			continue;
		}
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			lane_serve_blocking(lane, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			err(EXIT_FAILURE, "accept");
	}
}

/* Both */

static void lane_init_epoll(struct lane *lane)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lane->orders_given};

	lane->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (lane->epoll < 0 ||
	    epoll_ctl(lane->epoll, EPOLL_CTL_ADD, lane->orders_given.fd, &event) < 0)
		err(EXIT_FAILURE, "epoll");
	for (size_t i = 0; i < lane->options->n_addresses; i++) {
		if (lane_poll_listener(lane, &lane->listeners[i], EPOLL_CTL_ADD) < 0)
			err(EXIT_FAILURE, "epoll for a listener");
	}
}

static void lane_init(struct lane *lane, const struct options *options, unsigned number, int *row)
{
	int flags = options->blocking ? EFD_CLOEXEC : EFD_CLOEXEC | EFD_NONBLOCK;
	struct service *service = &lane->service;

	lane->options = options;
	lane->row = row;
	lane->accepting = !options->no_accept;
	lane->epoll = -1;
	LIST_INIT(&lane->connections);
	service->options = options;
	TAILQ_INIT(&service->working);
	service->seed = (unsigned)getpid() + number;
	service->blocking = options->blocking;
	service->last = options->no_keepalive || options->blocking;
	if (options->mode == MODE_PLAIN)
		snprintf(service->id, sizeof(service->id), "%s", options->id);
	else
		snprintf(service->id, sizeof(service->id), "%s.%u", options->id, number);
	for (size_t i = 0; i < options->n_addresses; i++)
		lane->listeners[i] = (struct source){lane_on_listener, row[i]};
	lane->orders_given = (struct source){lane_on_orders, eventfd(0, flags)};
	if (lane->orders_given.fd < 0)
		err(EXIT_FAILURE, "eventfd");
}

struct lane *lane_start(const struct options *options, unsigned number, int *row)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	int error;

	if (!lane)
		err(EXIT_FAILURE, "lane");
	lane_init(lane, options, number, row);
	if (!options->blocking)
		lane_init_epoll(lane);
	error = pthread_create(&lane->thread, NULL,
	                       options->blocking ? lane_run_blocking : lane_run, lane);
	if (error)
		errx(EXIT_FAILURE, "thread: %s", strerror(error));
	return lane;
}

/* A signal that arrives just before accept() blocks is lost, so it is sent until the order is
 * obeyed. */
void lane_order(struct lane *lane, unsigned order)
{
	const uint64_t one = 1;

	atomic_fetch_or(&lane->orders, order);
	if (write(lane->orders_given.fd, &one, sizeof(one)) < 0)
		warn("order");
	while (lane->options->blocking && atomic_load(&lane->orders)) {
		pthread_kill(lane->thread, SIGRTMIN);
		usleep(2000);
	}
}

void lane_join(struct lane *lane)
{
	pthread_join(lane->thread, NULL);
	close(lane->orders_given.fd);
	if (lane->epoll >= 0)
		close(lane->epoll);
	free(lane);
}
