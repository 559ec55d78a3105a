/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paths of the HTTP server, one row each. Nothing is decoded: the names of services and all
 * values have plain characters, so a path or a value with an escape is one that does not exist.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/request.h"
#include "web/look.h"
#include "web/page.h"

enum route_kind {
	ROUTE_LOOK,   /* GET and HEAD: the answer is kept for a second */
	ROUTE_EVENTS, /* the same; each client gets the events that it lacks */
	ROUTE_PAGE,   /* GET and HEAD: a file of the page */
	ROUTE_ACTION, /* POST */
};

struct route {
	const char *path; /* "*" stands for the name of a service */
	enum route_kind kind;
	const char *type; /* Content-Type */
	look_function *look;
	const struct page_file *file;
	enum request_kind action;
	/* For programs that know no token: Prometheus and load balancers. */
	bool is_open;
};

/* Rows without a path end them. */
extern const struct route route_all[];     /* of `web` */
extern const struct route route_metrics[]; /* of `metrics --listen` */

/* What route_find() finds. */
struct route_found {
	const struct route *route; /* NULL = none */
	char service[RPD_LABEL_MAX];
	const char *allow; /* the methods of the path; NULL = there is no such path */
};

/* Finds the row of the path for the method; the path is as the client has sent it. */
struct route_found route_find(const struct route *table, const char *method, const char *path);

/* What may follow the path. */
struct route_query {
	int64_t after; /* ?after=NUMBER, -1 = there is none */
	unsigned int
	        draining; /* ?draining=404: the status of a service that is draining; 0 = 503 */
};

/* Reads the number of ?after=NUMBER. @value: NULL = there is none, which is -1. Returns 0 or
 * -EINVAL. */
int route_parse_after(const char *value, int64_t *ret);

/* Reads the status of ?draining=STATUS, which can only be 404. @value: NULL = there is none, which
 * is 0. Returns 0 or -EINVAL. */
int route_parse_draining(const char *value, unsigned int *ret);
