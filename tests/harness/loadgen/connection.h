/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections. Each connects, sends a request, receives the answer, and is counted once when it
 * ends. They are driven by the events of one epoll instance; run.c decides when to begin a
 * connection and when to stop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>

#include "answer.h"
#include "options.h"
#include "results.h"
#include "target.h"

struct connection {
	TAILQ_ENTRY(connection) waiting; /* for an answer, by asked_us */
	SLIST_ENTRY(connection) unused;
	struct target *target;
	struct worker *worker; /* of the first answer */
	uint64_t begin_us;     /* just before connect() */
	uint64_t asked_us;     /* when the current request was begun */
	uint64_t close_us;     /* when it is held: when to close it */
	uint64_t answers;
	size_t sent; /* bytes of the request that were sent */
	int fd;
	uint32_t watched; /* epoll events */
	bool held;
	struct answer answer;
};

struct connections {
	const struct options *options;
	struct results *results;
	struct target *targets;
	struct connection *pool;
	size_t pool_size;
	size_t pool_touched; /* connections of the pool that have been used */
	SLIST_HEAD(, connection) unused;
	TAILQ_HEAD(waiting_list, connection) waiting;
	int epoll; /* each event points to its connection */
	FILE *log;
	uint64_t in_flight; /* begun, and neither finished nor held */
	uint64_t held;
	bool stopping; /* send no further request on an answered connection */
	char scratch[65536];
};

/* Ends the program on failure. */
void connections_init(struct connections *all, const struct options *options,
                      struct results *results);

/* Frees everything. Returns false if the log could not be written. */
bool connections_deinit(struct connections *all);

/* Begins a connection to the next target. */
void connections_begin(struct connections *all);

void connection_ready(struct connections *all, struct connection *connection, uint32_t events);

/* When the next waiting connection expires; UINT64_MAX if none waits. */
uint64_t connections_expiry_us(const struct connections *all);

/*
 * Finishes the connections that expired before @polled_us, when events were last read. So, after
 * this process was stopped for a while, it reads the answers that arrived meanwhile before it
 * expires connections.
 */
void connections_expire(struct connections *all, uint64_t polled_us);

/* When to close the first of the held connections; UINT64_MAX if that is never. */
uint64_t connections_close_us(const struct connections *all);

/* Finishes the connections that are held open and were to be closed before @now. */
void connections_release(struct connections *all, uint64_t now);
