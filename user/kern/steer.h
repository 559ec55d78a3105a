/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steering program and its pinned maps, as typed memory. <reuseportd/abi.h> describes the maps.
 * Other steer_*.h files make them, and change the entries of one map each.
 *
 * Pins: the service's maps by their names; "socksN", "queuesN" and "steerN" are the socket array,
 * the queues that have been seen, and the program of endpoint N.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/pins.h"
#include <reuseportd/abi.h>

/* The map that is pinned first and removed last: it has the service's stage. */
#define STEER_FIRST_PIN "service"

enum steer_map {
	STEER_SERVICE,
	STEER_CONTROL,
	STEER_SCHEDULES,
	STEER_COUNTERS,
	STEER_MEMBERS,
	STEER_MARKS,
	STEER_WORKERS,
	STEER_ACCOUNTS,
	STEER_CONNS,
	STEER_CONNS_MORE,
	STEER_LOADS,
	STEER_EVENTS,
	STEER_PROBES,
	STEER_PORTS,
	STEER_FORMER,
	STEER_IGNORED,
	STEER_MAP_MAX,
};

/* What each endpoint has of its own, and pins. */
struct steer_endpoint {
	int socks_fd;
	int queues_fd;
	int prog_fd;
};

struct steer {
	int map_fd[STEER_MAP_MAX];
	int mark_fd; /* the program that marks a listener (kern/groups.h); -1 = none */
	struct steer_endpoint endpoints[RPD_ENDPOINT_MAX];
	struct steer_endpoint spare; /* of the next endpoint (steer_setup_prepare()), or closed */
	/* Memory mapped: a store is in force at once. */
	struct rpd_service *service;
	struct rpd_control *control;
	struct rpd_schedule *schedules; /* two of them */
	struct rpd_events *events;
};

/* Sets the closed state, on which steer_close() may be called. */
void steer_init(struct steer *steer);

/* A positive result. @err is set as well. */
enum steer_result {
	STEER_DAMAGED = 1, /* the pins are not, or no longer, those of a service of reuseportd */
};

/* Opens the service's pins. Returns 0, STEER_DAMAGED or a negative errno. */
int steer_open_pins(struct steer *steer, const struct pins *pins, struct error *err);

/* Opens only the first pin: what service->endpoints names. Returns 0, STEER_DAMAGED or a negative
 * errno. */
int steer_open_service(struct steer *steer, const struct pins *pins, struct error *err);

/* Opens the endpoints' socket arrays, as far as they exist, after steer_open_pins() has failed: for
 * the removal of damaged pins. */
void steer_open_arrays(struct steer *steer, const struct pins *pins);

/* Whether a pin of this name belongs to the steering program. */
bool steer_is_pin(const char *name);

/* Unmaps and closes everything; steering goes on. */
void steer_close(struct steer *steer);

/* Whether entry @index of service->endpoints is in use. A loop over the endpoints skips the others:
 * their socket array and program are not open. */
bool steer_has_endpoint(const struct steer *steer, unsigned int index);

/* How many endpoints the service has. */
unsigned int steer_count_endpoints(const struct steer *steer);

/* The schedule in force. */
const struct rpd_schedule *steer_schedule(const struct steer *steer);

/* The cell of @slot, or of RPD_SLOT_PARKING and on, that is in force. The other one of a slot is
 * the idle one. */
unsigned int steer_cell(const struct steer *steer, unsigned int slot);
unsigned int steer_idle_cell(const struct steer *steer, unsigned int slot);

/* Puts @draft in force: writes the inactive schedule, then flips the index. Does not wait for runs
 * that still read the old schedule: see grace_wait(). */
void steer_switch(struct steer *steer, const struct rpd_schedule *draft);

/* Attaches the endpoint's program to the reuseport group of socket @fd. */
int steer_attach(const struct steer *steer, unsigned int endpoint, int fd);

/* Detaches any program from the reuseport group of socket @fd; a group without one is no error. */
int steer_detach(const struct steer *steer, int fd);
