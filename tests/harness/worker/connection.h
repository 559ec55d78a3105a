/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection that was accepted: reads requests, sends answers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "http.h"
#include "options.h"
#include "source.h"

#define REQUEST_MAX 4096 /* bytes of a request's head */

LIST_HEAD(connection_list, connection);

struct connection {
	struct source source;
	LIST_ENTRY(connection) all;
	struct request request;
	unsigned served;
	bool listed;
	size_t len;
	char text[REQUEST_MAX + 1];
};

/* How a lane serves its connections. */
struct service {
	char id[ID_MAX + 16]; /* who answers */
	bool blocking;
	bool last; /* close after the next answer */
};

/* Takes @fd over, also when there is no memory: then it is closed, and NULL returned. */
struct connection *connection_new(int fd);

void connection_add(struct connection *connection, struct connection_list *list);

/* Closes it, and takes it from the list that it was added to. */
void connection_free(struct connection *connection);

/* Reads once and answers all that was asked. Returns false when it is to be closed. */
bool connection_serve(struct connection *connection, const struct service *service);

/* Whether it was answered, and waits for a further request. */
bool connection_is_idle(const struct connection *connection);
