/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parking: while no worker of a service lives, new connections wait in listeners of the supervisor,
 * one in each endpoint, and are handed over, with all that the client has sent, when one is there.
 *
 * The listener of an endpoint is in slot RPD_SLOT_PARKING of its socket array, all the time: the
 * steering program comes to it only when it finds no worker. To hand over what is in its queue it
 * is replaced by a new one and closed: the kernel then migrates the queue to the workers.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "service/service.h"

struct parking {
	int fds[RPD_ENDPOINT_MAX]; /* -1 = none */
	bool closed;               /* given up: connections are refused */
};

#define _cleanup_parking_ __attribute__((cleanup(parking_close)))

void parking_init(struct parking *parking);

/* Opens listeners where there are none yet, for all endpoints of the service: same family, address,
 * v6only, device and user as the workers' (fchown() makes it that of another user), and puts them
 * and the program in place. With the service locked. */
int parking_open(struct parking *parking, struct service *service, struct error *err);

/* Whether there is any listener where connections could wait. */
bool parking_is_open(const struct parking *parking);

/* Connections that wait in all of them. */
unsigned int parking_queued(const struct parking *parking);

/* Hands over what waits where a slot has a listener; call it when a worker has come into a slot,
 * and into the ring. Returns how many. Those that come meanwhile are not lost. Where it fails they
 * are handed over as well, but there is no listener for the next ones until parking_open(). On
 * kernels that don't wake who gets migrated connections (core/kernel_bugs.h, CVE-2026-46015) it
 * wakes them by a connection of its own. */
int parking_hand_over(struct parking *parking, struct service *service, struct error *err);

/* The time is over: who waits is reset, and from now on connections are refused, until
 * parking_open(). Returns how many were reset. */
int parking_give_up(struct parking *parking, struct service *service, struct error *err);

/* Closes the listeners: who waits is handed over if a worker lives, else reset. Before
 * service_remove(). */
void parking_close(struct parking *parking);
