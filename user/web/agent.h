/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers the agent checks of HAProxy: one line for each TCP connection (view/ready_view.h), of all
 * services. A client needs to send nothing, and what it sends is not read as anything. A client
 * that keeps its connection open is ended like one of the HTTP server (http_clients.h).
 */
#pragma once

#include "web/http_clients.h"
#include "web/look.h"

struct agent {
	int epoll;    /* of the listener and the connections; -1 = not started */
	int listener; /* -1 = there is no agent */
	struct http_clients clients;
	char line[256];      /* the last one; "" = none */
	int64_t seen, until; /* as of struct answer */
	int64_t change;      /* as of struct answers */
};

/* No agent: agent_stop() may be called. */
void agent_init(struct agent *agent);

/* Begins to wait for connections to agent->listener, which agent_stop() closes. Returns 0, or a
 * negative errno with @err set. */
int agent_start(struct agent *agent, struct error *err);

/* Handles what is due, in a bounded number of steps; to be called when agent->epoll is readable.
 * @home: the network namespace of the process, where it leaves the calling thread. */
void agent_handle(struct agent *agent, const struct look_settings *settings, int home);

/* Ends the connections that are past their deadline. Returns the next deadline, or INT64_MAX. */
int64_t agent_expire(struct agent *agent, int64_t now);

void agent_stop(struct agent *agent);
