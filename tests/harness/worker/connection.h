/* SPDX-License-Identifier: BSD-2-Clause */
/* An accepted connection: reads requests and sends answers, at once or after some time of work. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "http.h"
#include "options.h"
#include "source.h"

#define REQUEST_MAX 4096 /* bytes of a request's head */

LIST_HEAD(connection_list, connection);
TAILQ_HEAD(work_list, connection);

struct connection {
	struct source source;
	LIST_ENTRY(connection) all;
	struct request request;
	unsigned served;
	bool listed;
	struct work_list *working; /* the list that it is in while there is work for its request */
	TAILQ_ENTRY(connection) work;
	int64_t answer_ms; /* when this work is done */
	size_t len;
	char text[REQUEST_MAX + 1];
};

/* How a lane serves its connections. */
struct service {
	char id[ID_MAX + 16]; /* sent in each answer */
	bool blocking;
	bool last; /* close after the next answer */
	const struct options *options;
	unsigned seed;            /* of what happens by chance */
	struct work_list working; /* by answer_ms, as all work takes the same time */
};

/* Takes ownership of @fd. If there is no memory, closes it and returns NULL. */
struct connection *connection_new(int fd);

void connection_add(struct connection *connection, struct connection_list *list);

/* Closes the connection and removes it from its list. */
void connection_free(struct connection *connection);

/* Reads once and answers all complete requests. Returns false if the connection must be closed. */
bool connection_serve(struct connection *connection, struct service *service);

/* Answers a connection of service.working, and serves the requests that have arrived meanwhile.
 * Returns false if the connection must be closed. */
bool connection_end_work(struct connection *connection, struct service *service);

/* Whether it has been answered and waits for a further request. */
bool connection_is_idle(const struct connection *connection);
