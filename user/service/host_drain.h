/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waits until the services of a draining host (service/drain_mark.h) have no open connection. The
 * workers are still in the ring: a load balancer sends nothing more, and other clients are served.
 * So it is no drain of workers (service/drain_wait.h), and needs no counts of connections.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "service/connections.h"
#include "service/drain_wait.h"

struct host_drain_service {
	char name[RPD_LABEL_MAX];
	struct drain_wait_left left; /* all but unattributed */
	/* The connections that are left when the time is over, before any is reset. */
	struct connections remaining;
	size_t n_closed; /* how many of `remaining` were reset */
	char fault[512]; /* why it can't be known what is left; "" = it is known */
};

struct host_drain {
	struct host_drain_service *services;
	size_t n;
	double seconds; /* how long the wait took */
	bool empty;
};

struct host_drain_request {
	int64_t since;  /* of the host's mark: if that changes, the wait ends with an error */
	double timeout; /* seconds */
	bool close_remaining;
	/* Called several times a second, with the sums of all services. */
	void (*progress)(const struct drain_wait_left *left, double seconds, void *data);
	void *data;
};

#define _cleanup_host_drain_ __attribute__((cleanup(host_drain_free)))

/* Waits @seconds, or less if the host has been draining for a while. Returns 0, or -ECANCELED with
 * @err set if the mark was removed. */
int host_drain_lame_duck(int64_t since, double seconds, struct error *err);

/* Waits until no service has a handshake under way, anything in an accept queue or an open
 * connection, or until the time is over; then, with close_remaining, resets what is left. Returns 0
 * also if the time was over, or a negative errno with @err set. The caller frees @ret with
 * host_drain_free(). */
int host_drain_wait(const struct host_drain_request *request, struct host_drain *ret,
                    struct error *err);

void host_drain_free(struct host_drain *drain);
