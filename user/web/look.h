/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each path of the HTTP server shows. A look opens a service as any command does, under its
 * lock, and waits for that only briefly: one that can't be read is answered by 503.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "core/http_address.h"
#include "core/min_live.h"
#include "view/ready_view.h"

struct look_settings {
	const char *metrics_of;   /* the service of /metrics; NULL = all */
	struct min_live min_live; /* of /ready, the agent and the metrics */
	bool admin;               /* there are actions */
	/* How long a look waits for the locks of all services that it opens. Meanwhile other
	 * clients wait. */
	unsigned int patience_ms;
};

/* The result: an HTTP status, and text or JSON. */
struct look {
	unsigned int status;
	char *text; /* for free(); NULL = JSON */
	size_t n;
	struct json_object *json; /* for json_object_put() */
	bool no_service;          /* there is no service of this name */
	bool is_busy;             /* its lock was not free in time */
	bool is_draining;         /* of /ready: it is not ready only because it is draining */
};

/* @service: NULL = the path names none. Leaves the calling thread in the network namespace of a
 * service. */
typedef void look_function(const struct look_settings *settings, const char *service,
                           struct look *ret);

/* GET /metrics; without a service, and with a service that does not exist, there are samples. */
look_function look_metrics;

/* GET /text: what `status` prints of each service, for browsers without script. */
look_function look_text;

/* GET /api/v1/services ... */
look_function look_services, look_service, look_events, look_rollout;

/* GET /ready?service=NAME; without a service: all services. GET /live */
look_function look_ready, look_live;

/* Reads what /ready answers. Returns 0, or a negative errno with @err set. */
int look_read_ready(const struct look_settings *settings, const char *service,
                    struct ready_view *ret, struct error *err);

/* Frees what a look has made. */
void look_free(struct look *look);

/* Sets the result to a status and {"error": TEXT}. */
void look_set_error(struct look *look, unsigned int status, const char *text);
