/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service whose HTTP responses are counted. The case is the only worker, in slot 0, and the
 * client: so it decides what is in which segment. Every function fails the case if it does not
 * succeed.
 */
#pragma once

#include <stddef.h>

#include "beds/run_service.h"
#include "core/response_count.h"

struct http_bed {
	struct rpd_endpoint endpoint;
	int cgroup, listener; /* descriptors */
};

/* Makes the service, and begins to count. @family: of the clients. @v6only: only that family. */
void http_bed_begin(struct http_bed *ret, int family, bool v6only);

/* Puts another listener into a slot, with the first generation of the slot. */
void http_bed_admit(unsigned int slot, int listener);

/* A connection: both ends. */
struct http_pair {
	int client, server;
};

/* Connects to the worker over @family. */
struct http_pair http_bed_connect(const struct http_bed *bed, int family);

/* Sends from one end, in segments of its own, and waits until the other end has got it all. */
void http_bed_send(int from, int to, const void *data, size_t n);

void http_bed_close(struct http_pair *pair);

/* Checks what was counted of the worker since the service began, by class as in response_abi.h, and
 * how many times there are. @what: the case, for the message. */
void http_bed_expect(const char *what, const unsigned int of[RESPONSE_CLASS_MAX],
                     unsigned int timed);

void http_bed_end(struct http_bed *bed);

#define _cleanup_http_bed_ _cleanup_(http_bed_end)
