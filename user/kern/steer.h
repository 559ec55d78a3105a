/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steering program and its pinned maps, as typed memory and a few verbs. What the maps mean is
 * in <reuseportd/abi.h>; who may call what, and when, is the daemon layer's business.
 *
 * Pins: the service's maps by their names; "socksN" and "steerN" are the socket array and the
 * program of endpoint N.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/pins.h"
#include <reuseportd/abi.h>

/* The map that is pinned first and removed last: it holds the service's stage. */
#define STEER_FIRST_PIN "service"

enum steer_map {
	STEER_SERVICE,
	STEER_CONTROL,
	STEER_SCHEDULES,
	STEER_COUNTERS,
	STEER_MEMBERS,
	STEER_WORKERS,
	STEER_ACCOUNTS,
	STEER_CONNS,
	STEER_CONNS_MORE,
	STEER_EVENTS,
	STEER_PROBES,
	STEER_PORTS,
	STEER_MAP_MAX,
};

struct steer {
	int map_fd[STEER_MAP_MAX];
	int socks_fd[RPD_ENDPOINT_MAX];
	int prog_fd[RPD_ENDPOINT_MAX];
	/* Memory mapped: what is stored here is in force at once. */
	struct rpd_service *service;
	struct rpd_control *control;
	struct rpd_schedule *schedules; /* two of them */
	struct rpd_events *events;
};

/* Closed state: steer_close() may be called on it. */
void steer_init(struct steer *steer);

/*
 * Opens what is pinned. -ENOENT: nothing of a service is there (an attach was killed before its
 * first pin). -EMEDIUMTYPE: pins are there that are not, or no longer, a service of ours.
 */
int steer_open(struct steer *steer, const struct pins *pins, struct error *err);

/* Opens those of the endpoints' socket arrays that are pinned, where steer_open() has failed before
 * it came to them. */
void steer_open_arrays(struct steer *steer, const struct pins *pins);

/* Whether a pin of this name is one of ours. */
bool steer_is_pin(const char *name);

/* Unmaps and closes; steering goes on. */
void steer_close(struct steer *steer);

/* Makes and pins the service's maps, without any endpoint: stage FILLING. There is room to count
 * @max_conns open connections (0 = none will be). */
int steer_make(struct steer *steer, const struct pins *pins, uint32_t max_conns, struct error *err);

/* Loads and pins the program for one more endpoint, and appends it to service->endpoints; makes the
 * service's maps first, as steer_make() does, if there are none yet. Returns its index. Not
 * attached yet. If it is killed before the end, pins are left of an endpoint that the service
 * doesn't have: steer_remove_half_made(). */
int steer_add_endpoint(struct steer *steer, const struct pins *pins,
                       const struct rpd_endpoint *endpoint, uint32_t max_conns, struct error *err);

/* Takes the last endpoint away again; its slots are empty. Killed at any point it is there, or it
 * is half made. */
void steer_remove_endpoint(struct steer *steer, const struct pins *pins);

/* Removes what a killed steer_add_endpoint() has left. */
void steer_remove_half_made(const struct steer *steer, const struct pins *pins);

/* The schedule in force. */
const struct rpd_schedule *steer_schedule(const struct steer *steer);

/* Puts @draft in force: writes the half that isn't, then flips the word. Does not wait for runs
 * that still read the old one: grace_wait(). */
void steer_switch(struct steer *steer, const struct rpd_schedule *draft);

/* Puts the listener @fd into a slot, or to RPD_SLOT_PARKING or RPD_SLOT_PROBE + n, in one step in
 * place of what is there. -EBUSY if it is in some socket array already. */
int steer_put(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd);

/* Empties a slot; no error if it is empty. */
int steer_clear(struct steer *steer, unsigned int endpoint, unsigned int slot);

/* Empties the slots of an endpoint from @first on, if it could be opened. */
void steer_clear_from(struct steer *steer, unsigned int endpoint, unsigned int first);

/* Cookie of the listener in a slot, 0 if it is empty. */
uint64_t steer_cookie(const struct steer *steer, unsigned int endpoint, unsigned int slot);

/* Attaches the endpoint's program to the group of which @fd is a member. */
int steer_attach(const struct steer *steer, unsigned int endpoint, int fd);

/* Takes whatever program is attached off the group of which @fd is a member; no error if none. */
int steer_detach(int fd);

/* The row of a slot in the map of who is meant to be in it. */
int steer_worker_get(const struct steer *steer, unsigned int slot, struct rpd_worker *ret);
/* The rows of the first @n slots. */
int steer_workers(const struct steer *steer, size_t n, struct rpd_worker *ret);
int steer_worker_set(struct steer *steer, unsigned int slot, const struct rpd_worker *worker);

/* Notes what the supervisor is about to do with a slot, whoever is in it. */
int steer_worker_set_run(struct steer *steer, unsigned int slot, enum rpd_run run,
                         uint32_t restarts);

/*
 * From now on a connection from @source goes to the listener at @index of its endpoint's socket
 * array (a slot, or RPD_SLOT_PROBE + n), and fails if none is there; until steer_probe_del(), which
 * is no error if it isn't there. steer_probe_clear() ends all of them, and takes the listeners out
 * that are there for probes only.
 */
int steer_probe_set(struct steer *steer, const struct rpd_probe *source, uint32_t index);
int steer_probe_del(struct steer *steer, const struct rpd_probe *source);
void steer_probe_clear(struct steer *steer);

/* Where the listener @cookie was admitted. -ENOENT if nowhere. */
int steer_member_get(const struct steer *steer, uint64_t cookie, struct rpd_member *ret);
int steer_member_set(struct steer *steer, uint64_t cookie, const struct rpd_member *member);
int steer_member_del(struct steer *steer, uint64_t cookie);
/* The cookie after *@cookie in no special order, from NULL on; -ENOENT at the end. */
int steer_member_next(const struct steer *steer, const uint64_t *cookie, uint64_t *ret);

/* What was counted at one slot, or at none (RPD_ROW_*). */
struct counters {
	uint64_t of[RPD_OUTCOME_MAX];
};

/* All rows, each summed over the CPUs; @ret has RPD_ROW_MAX entries. */
int steer_counters(const struct steer *steer, struct counters *ret, struct error *err);
