/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether services can take connections, for load balancers. A service is ready if the steering
 * program is in force on all its endpoints, if at least one worker listens and is in the ring, and,
 * for a service of `run`, if its supervisor lives.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "base/error.h"
#include <reuseportd/abi.h>

/* Of several services: ready if each of them is. */
struct ready_view {
	unsigned int services, ready; /* how many there are, and how many of them are ready */
	unsigned int live, wanted;    /* live: the workers that listen and are in the ring */
	char version[RPD_LABEL_MAX];  /* with the largest share of the last service */
	struct error why;             /* of the first service that is not ready */
	bool none, busy;              /* a service does not exist; its lock is busy */
};

/* Adds service @name to @data, a struct ready_view, which is all zero at first. One that can't be
 * read is not ready. A function for service_each(). */
void ready_view_add(const char *name, void *data);

/* Whether there is a service, and each one is ready. */
bool ready_view_is_ready(const struct ready_view *it);

/* {ready, reason, live, wanted, version}: reason is null if it is ready, and version if there are
 * several services. The caller owns it (json_object_put()). */
struct json_object *ready_view_new(const struct ready_view *it);
