/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections: each is begun, asks, is answered and finished, and then counted, once. They are
 * driven by the events of one epoll instance; when to begin one and when to stop is decided by
 * run.c.
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
	uint64_t asked_us;     /* when the answer that is awaited was asked for */
	uint64_t answers;
	size_t sent; /* bytes of the request that went out */
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
	size_t pool_touched; /* connections of the pool that were ever used */
	SLIST_HEAD(, connection) unused;
	TAILQ_HEAD(waiting_list, connection) waiting;
	int epoll; /* its events point to the connection */
	FILE *log;
	uint64_t in_flight; /* begun, and neither finished nor held */
	uint64_t held;
	bool stopping; /* no more questions on a connection that was answered */
	char scratch[65536];
};

/* Ends the program on failure. */
void connections_init(struct connections *all, const struct options *options,
                      struct results *results);

/* Returns false when the log could not be written. */
bool connections_deinit(struct connections *all);

/* The next one, to the target whose turn it is. */
void connections_begin(struct connections *all);

void connection_ready(struct connections *all, struct connection *connection, uint32_t events);

/* When the first of those that wait has waited long enough; UINT64_MAX: none waits. */
uint64_t connections_expiry_us(const struct connections *all);

/* Finishes those that had waited for too long already at @looked_us, when events were last asked
 * for: if this process was stopped for a while, what came meanwhile is read first. */
void connections_expire(struct connections *all, uint64_t looked_us);

/* Finishes those that are held open. */
void connections_release(struct connections *all);
