/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service, opened under its lock: each command begins by opening one. The pinned maps and
 * programs steer connections whether a process has the service open or not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "kern/conns.h"
#include "kern/grace.h"
#include "kern/groups.h"
#include "kern/http.h"
#include "kern/pins.h"
#include "kern/steer.h"

struct service {
	struct pins pins;
	struct steer steer;
	struct conns conns;
	struct groups groups;
	struct http http;
	struct grace grace;
	/* A process is still in the service's network namespace, and the calling thread has entered
	 * that namespace. */
	bool reachable;
	/* For service_lock.c: how many callers hold the lock; and the state of the pins that are
	 * open, to notice a change when the lock is taken again. */
	unsigned int locks;
	uint32_t opened;         /* rpd_service.endpoint_changes; UINT32_MAX = not recorded */
	struct timespec changed; /* when a pin was last added or removed */
};

/* What functions that open a service find. */
enum service_outcome {
	SERVICE_OPEN,   /* a complete service, which is now open and locked */
	SERVICE_NONE,   /* no service of this name */
	SERVICE_LOCKED, /* another command has kept the lock for longer than we wait
	                   (pins_set_waiting()) */
};

#define _cleanup_service_ __attribute__((cleanup(service_close)))

/* Closed state: service_close() may be called on it. */
void service_init(struct service *service);

/*
 * Locks and opens service @name (NULL: the only one on this host) and enters its network namespace.
 * If a killed attach or detach has left the service half made, rolls that back; then the result is
 * SERVICE_NONE. Returns an enum service_outcome, or a negative errno. Sets @err unless the outcome
 * is SERVICE_OPEN.
 */
int service_try_open(struct service *service, const char *name, struct error *err);

/* Like service_try_open(), for callers that need the service: SERVICE_NONE and SERVICE_LOCKED are
 * errors too. Returns 0, or a negative errno with @err set. */
int service_open(struct service *service, const char *name, struct error *err);

/*
 * Locks the folder of service @name for a command that makes a service; creates the folder if it is
 * missing, and rolls back a half-made service in it. Returns SERVICE_NONE if the folder is now
 * locked and empty, SERVICE_OPEN if a complete service has the name, SERVICE_LOCKED with @err set,
 * or a negative errno with @err set.
 */
int service_claim(struct service *service, const char *name, struct error *err);

/* Removes and closes an open service to free its name, provided that none of its workers and no
 * supervisor lives. Otherwise refuses. Returns 0, or a negative errno with @err set. */
int service_make_room(struct service *service, struct error *err);

/* Opens a complete service to read it: does not take the lock, so the values may be out of date,
 * and does not enter the network namespace. Returns 0, or a negative errno with @err set. */
int service_peek(struct service *service, const char *name, struct error *err);

/* The same for callers that only read service->steer.service: opens one pin. */
int service_peek_endpoints(struct service *service, const char *name, struct error *err);

/* Enters the network namespace of the workers, if a process still keeps it, and sets
 * service->reachable. Returns 0, or a negative errno with @err set. */
int service_enter_netns(struct service *service, struct error *err);

/* Whether the service was made by `run`, and not by `attach`. */
bool service_is_run(const struct service *service);

/* Whether a command that makes or removes the service was killed before it had finished. */
bool service_is_half_made(const struct service *service);

/* The name of the only service on this host. Returns 0, or a negative errno with @err set; no
 * service, or several, are errors. */
int service_only_name(char ret[RPD_LABEL_MAX], struct error *err);

/* Adds to @err what damaged pins mean and how to remove them. Returns -EMEDIUMTYPE. */
int service_damaged_error(const struct service *service, struct error *err);

/* Whether the service is open, locked or not. */
bool service_is_open(const struct service *service);

/* Unlocks and closes; the service stays. */
void service_close(struct service *service);
