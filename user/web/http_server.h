/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server of `reuseportd web` and `reuseportd metrics --listen`: a process of its own
 * without a further thread, by itself or as a child of a supervisor or watcher (web_process.h). A
 * look at a service reads the pinned maps under its lock, as any command does. Its answer is kept
 * for a second, so clients that ask without a pause take the lock only that often.
 */
#pragma once

#include "base/error.h"
#include "web/actions.h"
#include "web/agent.h"
#include "web/answers.h"
#include "web/guard.h"
#include "web/http_clients.h"

struct http_settings {
	struct http_address address;
	const char *what; /* is served, for messages */
	const struct route *routes;
	struct look_settings look;
	const char *host;          /* a name in the header Host that is allowed; NULL = none */
	struct guard_token token;  /* "" = none */
	action_function *act;      /* NULL = there are no actions */
	struct rpd_endpoint agent; /* of agent checks; family 0 = none are answered */
};

struct http_server {
	const struct http_settings *settings;
	int listener;
	bool is_inherited; /* the listener is that of the parent */
	int home;          /* the network namespace of the process */
	int lifeline;      /* the end of this pipe ends the server; -1 = none */
	struct MHD_Daemon *daemon;
	struct http_clients clients;
	struct answers answers;
	struct actions actions;
	struct agent agent;
};

#define _cleanup_http_server_ __attribute__((cleanup(http_server_stop)))

/* Sets the stopped state; the settings must stay valid. http_server_stop() may then be called. */
void http_server_init(struct http_server *server, const struct http_settings *settings);

/* Listens on the address, and on that of agent checks. The first call must come before a service is
 * opened, because that enters the service's network namespace. After a failure it may be called
 * again. A listener that is there already is kept. Returns 0, or a negative errno with @err set. */
int http_server_bind(struct http_server *server, struct error *err);

/* The same, but waits up to a second for a server that ends at the moment. */
int http_server_await_bind(struct http_server *server, struct error *err);

/* Takes the listener that the parent has passed, if there is one, by the protocol of
 * sd_listen_fds(3); then the lifeline and the listener of agent checks, as web_process.h passes
 * them. http_server_bind() makes what is missing. Returns 0, or a negative errno with @err set. */
int http_server_inherit(struct http_server *server, struct error *err);

/* Gives up the rights that a look does not need, and answers requests until SIGTERM, SIGINT or the
 * end of the lifeline. @ready is called when requests are answered. Returns 0, or a negative errno
 * with @err set. */
int http_server_serve(struct http_server *server, void (*ready)(const void *data), const void *data,
                      struct error *err);

void http_server_stop(struct http_server *server);
