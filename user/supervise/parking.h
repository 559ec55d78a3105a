/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parking: while no worker of a service lives, new connections wait in listeners of the supervisor,
 * one for each endpoint. When a worker is up, the supervisor hands them over with all that the
 * client has sent. park.h decides when.
 *
 * The listener is in slot RPD_SLOT_PARKING of the endpoint's socket array, unless connections are
 * refused. The steering program selects it only when it finds no worker. To hand over its queue, it
 * is replaced by a new listener and closed: the kernel then migrates the queue to the workers.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "service/service.h"

struct parking {
	int fds[RPD_ENDPOINT_MAX];     /* -1 = none */
	bool closed[RPD_ENDPOINT_MAX]; /* connections are refused */
};

#define _cleanup_parking_ __attribute__((cleanup(parking_close)))

void parking_init(struct parking *parking);

/* Opens listeners for all endpoints of the service that have none: with the family, address,
 * v6only, device and user of the workers' listeners (fchown() sets another user). Puts them and the
 * program in place. The service must be locked. */
int parking_open(struct parking *parking, struct service *service, struct error *err);

/* The same for one endpoint. */
int parking_open_at(struct parking *parking, struct service *service, unsigned int endpoint,
                    struct error *err);

/* Opens a listener of ours in the endpoint's group, without the program selecting it. It is
 * recorded as a member: it is no foreign listener, and connections that migrate from it stay
 * counted. The service must be locked. Returns the descriptor, or a negative errno with @err set
 * ("can't @what:
 * ..."). */
int parking_open_listener(struct service *service, unsigned int endpoint, const char *what,
                          struct error *err);

/* Hands over the connections of each endpoint where a slot has a listener. To be called when a
 * worker has come into a slot and into the ring. Returns the number of connections, or a negative
 * errno with @err set. Connections that come meanwhile are not lost. Nor are they on failure: the
 * connections are handed over, but some endpoint has no parking listener until parking_open(). Some
 * kernels don't wake a worker that gets migrated connections (core/kernel_bugs.h, CVE-2026-46015):
 * on these, one more connection to each worker wakes it. */
int parking_hand_over(struct parking *parking, struct service *service, struct error *err);

/* Resets the connections that wait at the endpoint, and refuses new ones until parking_open_at() or
 * until a slot has a listener there. Its listener stays, without connections: so a worker that
 * begins to listen gets none either. Returns how many were reset, or a negative errno with @err
 * set. */
int parking_give_up(struct parking *parking, struct service *service, unsigned int endpoint,
                    struct error *err);

/* Closes the listeners: connections that wait go to a worker if one lives, else are reset. Must be
 * called before service_remove(). */
void parking_close(struct parking *parking);
