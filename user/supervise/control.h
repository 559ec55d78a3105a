/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a supervisor. Commands such as `reload` send their requests to it: a stream
 * of JSON, one object a line.
 *
 * Request: {"do": NAME, FIELD: VALUE, ...}. core/request.c has the table of names and fields.
 * Answer: any number of {"line": TEXT} while the request is in progress, then {"status": N,
 * "error": TEXT}.
 *
 * control.c checks which process may connect, reads requests and sends answers. core/request.c
 * checks a request, control_request.c carries it out. control_client.h is the commands' end.
 */
#pragma once

#include "base/error.h"
#include "core/slots.h"
#include "supervise/types.h"

struct control_client;
struct json_object;
struct request;

/* What a client waits for. */
enum control_wait {
	CONTROL_WAIT_REQUEST, /* nothing: its request has not come yet */
	CONTROL_WAIT_RELOAD,  /* the end of the reload */
	CONTROL_WAIT_QUEUED,  /* the end of the reload that follows this one */
	CONTROL_WAIT_SETTLED, /* until each of its slots is up, failed or stopped */
	CONTROL_WAIT_GONE,    /* as SETTLED, and until the workers that are ending now have gone */
	CONTROL_WAIT_END,     /* the end of the service */
	CONTROL_WAIT_BEGUN,   /* until the deployment that it asks for has begun */
	CONTROL_WAIT_DEPLOYMENT, /* until the deployment was changed */
};

/* Carries out @request, in a turn of the service. Calls control_wait_for() before anything that the
 * client waits for can happen. On failure the client gets @err as its answer. */
typedef int (*control_handler)(struct supervisor *sup, struct control_client *client,
                               const struct request *request, struct error *err);

/* Opens the socket. Only root and our own user may send requests: the socket has mode 0600, and the
 * peer's uid is checked as well. */
int control_new(struct supervisor *sup, control_handler handler, struct control **ret,
                struct error *err);

/* Opens the socket again, after its file was deleted. Clients that are connected stay. Returns 0,
 * or a negative errno with @err set. */
int control_listen(struct control *control, struct error *err);

/* @client gets its answer when @what has happened. @slots: those that must settle; NULL = none. */
void control_wait_for(struct control_client *client, enum control_wait what,
                      const struct slots *slots);

/* Sends a line to all clients that wait. */
void control_send_line(struct supervisor *sup, const char *line);

/* The reload has ended. @status: EXIT_OK, or the exit status for its clients: then they get @why as
 * the answer at once, and @added may be NULL. With EXIT_OK they get the answer when the old workers
 * have gone and the slots @added by the reload have settled. */
void control_answer_reload(struct supervisor *sup, int status, const char *why,
                           const struct slots *added);

/* @what has happened, CONTROL_WAIT_BEGUN or CONTROL_WAIT_DEPLOYMENT, or was refused: answers the
 * clients that waited for that. @deployment: for the answer; belongs to the caller; NULL if @status
 * is not EXIT_OK. */
void control_answer_deployment(struct supervisor *sup, enum control_wait what, int status,
                               const char *why, struct json_object *deployment);

/* A worker has gone or a slot has settled: answers the clients that waited for that. */
void control_answer_settled(struct supervisor *sup);

/* Removes the socket; no more requests are taken. */
void control_close(struct control *control);

/* The service has ended with @status: sends the last answers. @left: why something of the service
 * could not be removed; or NULL. @control may be NULL. */
void control_free(struct control *control, int status, const char *left);
