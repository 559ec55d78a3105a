/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Actions: changes that clients ask for. The process that serves HTTP has given up most of its
 * rights; a second process, which keeps them, reads what to do from a socket, checks all of it
 * again, and carries out each action in a child. It knows a closed list of actions
 * (core/request.h). This is no sandbox: the first process keeps uid 0 and capabilities that would
 * be enough.
 *
 * A connection is suspended while its action is under way, so no client waits for another one's.
 */
#pragma once

#include "core/request.h"
#include "web/http_library.h"
#include "web/route.h"

#define ACTIONS_MAX      8    /* at the same time */
#define ACTIONS_BODY_MAX 4096 /* bytes */
#define ACTIONS_BY_MAX   16   /* with the final NUL */

/* How long a client waits. The action goes on until ACTIONS_TIME_S. */
#define ACTIONS_WAIT_NS (9 * NS_PER_S)
#define ACTIONS_TIME_S  60

/* An action to carry out. */
struct action {
	const char *service;
	const char *by; /* "token" or "uid 0" */
	struct request request;
};

/* Carries it out. Returns 0, or a negative errno with @err set. */
typedef int action_function(const struct action *action, struct error *err);

/* A client's request for an action. */
struct action_client {
	const struct route *route;
	char service[RPD_LABEL_MAX];
	char by[ACTIONS_BY_MAX];
	char body[ACTIONS_BODY_MAX];
	size_t n; /* bytes of the body so far */
	struct MHD_Connection *connection;
	uint32_t id;
	int64_t deadline;    /* CLOCK_MONOTONIC, ns */
	unsigned int status; /* the HTTP status of the answer; 0 = none yet */
	char *text;          /* why it was refused; NULL = done */
};

struct actions {
	int socket; /* -1 = there are no actions */
	uint32_t last_id;
	struct action_client *clients[ACTIONS_MAX]; /* that wait; NULL = a free row */
};

/* No actions: actions_stop() may be called. */
void actions_init(struct actions *actions);

/* Starts the other process. Returns 0, or a negative errno with @err set. */
int actions_start(struct actions *actions, action_function *act, struct error *err);

/* Asks for the action of a client that has sent the whole body, and suspends its connection. If
 * that is not possible, the client has an answer at once. */
void actions_ask(struct actions *actions, struct action_client *client);

/* Reads the outcome of an action, and resumes the connection of its client. Returns false if the
 * other process has ended. */
bool actions_read(struct actions *actions);

/* Answers the clients that have waited for too long. Returns the next deadline, or INT64_MAX. */
int64_t actions_expire(struct actions *actions, int64_t now);

/* The connection of a client has ended. Frees @client. */
void actions_forget(struct actions *actions, struct action_client *client);

/* Resumes all connections, and closes the socket: the other process then ends. */
void actions_stop(struct actions *actions);
