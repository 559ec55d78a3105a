/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP server of a supervisor or watcher: a child process, `reuseportd web` or `metrics
 * --listen`, with the listeners of its parent. Clients of the network reach only this process,
 * which has no part in supervision. It ends with its parent, and is started again if it ends
 * before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"
#include "web/http_server.h"

/* The command line of the child. */
struct web_process_command {
	const char *name; /* "web" or "metrics" */
	const char *what; /* is served, for messages */
	struct http_address address;
	struct rpd_endpoint agent;                /* of agent checks; family 0 = none */
	const char *token_file, *host, *min_live; /* NULL = none */
	bool admin;
};

struct web_process {
	const struct web_process_command *command; /* NULL = it is not started */
	const char *service;                       /* of `metrics`; NULL = all */
	struct http_settings settings;
	struct http_server server; /* its listeners */
	sd_event *loop;
	sd_event_source *on_end, *again;
	int pidfd, lifeline;
	uint32_t pid;
	bool failure_is_logged;
};

#define _cleanup_web_process_ __attribute__((cleanup(web_process_end)))

/* Not started: web_process_end() may be called. Takes the listeners that web_process_pass() of an
 * earlier program has passed for the command @name. */
void web_process_init(struct web_process *process, const char *name);

/* Listens on the command's addresses, and checks what else can be checked before the start. The
 * command must stay valid. Must be called before a service is opened (http_server_bind()). Returns
 * 0, or a negative errno with @err set. */
int web_process_bind(struct web_process *process, const struct web_process_command *command,
                     struct error *err);

/* The same for a process that takes services over: supervision matters more than this server, so
 * what fails is logged, and web_process_start() tries to bind again. */
void web_process_bind_later(struct web_process *process, const struct web_process_command *command);

/* Starts the server, if @data, a web_process, has a command. Its end is handled in @loop. A failure
 * is logged once, and tried again every second. */
void web_process_start(sd_event *loop, void *data);

/* To be called before an exec() of this process: kills the server, and reaps it. The listeners stay
 * open meanwhile, so that no other process can take an address. If the exec() fails,
 * web_process_start() goes on. */
void web_process_pass(struct web_process *process);

/* Ends the server, and closes the listeners. */
void web_process_end(struct web_process *process);
