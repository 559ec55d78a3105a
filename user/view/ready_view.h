/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether services can take connections, for load balancers. A service is ready if the steering
 * program is in force on all its endpoints, if enough workers listen and are in the ring, and, for
 * a service of `run`, if its supervisor lives; and if neither it nor the host is draining.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/min_live.h"
#include "service/service_ready.h"

enum ready_state {
	READY_NOT, /* not all of the services can take connections, or there is none */
	READY_DRAINING,
	READY_YES,
};

/* Of several services: ready if each of them is. */
struct ready_view {
	struct min_live min_live;
	unsigned int services;
	unsigned int live, wanted;   /* of struct service_ready, of all services together */
	char version[RPD_LABEL_MAX]; /* of the last service */
	int64_t draining_since;      /* CLOCK_REALTIME, ns; 0 = none of them is draining */
	char why[ERROR_TEXT_MAX];    /* the first reason why it can't take connections; "" = none */
	bool none, busy;             /* a service does not exist; its lock is busy */
};

/* Without a service as yet. */
void ready_view_begin(struct ready_view *it, const struct min_live *min_live);

/* Adds a service. */
void ready_view_add(struct ready_view *it, const char *name, const struct service_ready *ready);

/* Why the host can't take connections, whatever its services are; the first such reason counts. */
void ready_view_note_fault(struct ready_view *it, const char *fault);

/* Reads service @name and adds it to @data, a struct ready_view. One that can't be read can't take
 * connections, except that on a draining host its lock may be busy. A function for service_each().
 */
void ready_view_read(const char *name, void *data);

enum ready_state ready_view_state(const struct ready_view *it);

/* {ready, reason, live, wanted, version, draining_since}: reason is null if it is ready, and
 * version if there are several services. The caller owns it (json_object_put()). */
struct json_object *ready_view_new(const struct ready_view *it);

/* The answer of an agent of HAProxy, which ends with a line break: "ready up 75%", "drain" or
 * "down#REASON". Returns @buf. */
const char *ready_view_format_agent(const struct ready_view *it, char *buf, size_t size);
