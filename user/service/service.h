/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A service, opened under its lock: what every command begins and ends with. Traffic is steered by
 * what is pinned, whether a struct service exists anywhere or not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "kern/conns.h"
#include "kern/pins.h"
#include "kern/steer.h"

struct service {
	struct pins pins;
	struct steer steer;
	struct conns conns;
	bool reachable; /* some process is still in its network namespace, and so are we */
	/* For service_lock.c: how often the lock is held; and what is open, to be compared when
	 * the lock is taken again. */
	unsigned int locks;
	unsigned int n_opened;   /* endpoints; UINT_MAX = not recorded */
	struct timespec changed; /* when a pin was last added or removed */
};

#define _cleanup_service_ __attribute__((cleanup(service_close)))

/* Closed state: service_close() may be called on it. */
void service_init(struct service *service);

/*
 * Locks and opens service @name (NULL: the only one on this host) and enters its network
 * namespace. What a killed attach or detach left half done is rolled back, and then there is no
 * such service.
 */
int service_open(struct service *service, const char *name, struct error *err);

/* For attach: locks folder @name, new or old, and leaves it empty of half-made things.
 * Returns 1 if there is a complete service, which is then open, else 0. */
int service_claim(struct service *service, const char *name, struct error *err);

/* For those who take the name of a complete service: removes it if none of its workers lives, and
 * no supervisor, so that nothing is lost; 0 then, and it is closed. Else -EEXIST. */
int service_make_room(struct service *service, struct error *err);

/* What a service is to be whose workers come later. */
struct service_plan {
	const char *name;
	unsigned int workers; /* 1..RPD_SLOT_MAX: it has that many slots, empty as yet */
	enum rpd_policy policy;
	const char *label;  /* the workers' version */
	uint32_t max_conns; /* open connections that can be counted, 0 = none are */
	const struct rpd_endpoint *endpoints; /* those that are known already */
	size_t n_endpoints;
};

/*
 * `run`: makes the service, without any worker, and us its supervisor. Returns 0. Or 1
 * if there is one already, as it is, whose supervisor has died: then we are its next one. -EEXIST
 * if somebody else has the name. The service is then open and locked.
 */
int service_create(struct service *service, const struct service_plan *plan, struct error *err);

/* One more endpoint for a service that is complete. Returns its index. -EADDRINUSE if another
 * service has it. Killed at any point it has
 * been added or it hasn't. The program is attached to the group by who puts the first listener into
 * a slot: admit(), or parking_open(). */
int service_add_endpoint(struct service *service, const struct rpd_endpoint *endpoint,
                         struct error *err);

/* Whether it was made by service_create(). */
bool service_is_run(const struct service *service);

/* The process that supervises it, 0 if that has died, or if none ever did. */
uint32_t service_supervisor(const struct service *service);

/* A pidfd of it, which is the caller's to close. -ESRCH if there is none. */
int service_open_supervisor(const struct service *service);

/* Makes the calling process its supervisor. What probes the one before has left are cleared. */
int service_supervise(struct service *service, struct error *err);

/*
 * Back to the kernel's hash: takes the program off every group and removes all pins. Goes on from
 * wherever a killed attach or detach stopped. With @force also where the pins are damaged; returns
 * 1 if a group could not be told or reached, and so keeps its program until its listeners close.
 */
int service_remove(struct service *service, bool force, struct error *err);

/* `detach`: service_remove() for service @name (NULL: the only one), in whatever state it is.
 * @ret_name: its name. -EBUSY if it is one that is run, as its workers would be left: with @force
 * only while a supervisor lives. */
int service_detach(const char *name, bool force, char ret_name[RPD_LABEL_MAX], struct error *err);

/* Opens a complete service for a look only: without the lock, so what is seen may be out of date,
 * and without going to its network namespace. -ENOENT if there is none, or none that is complete.
 */
int service_peek(struct service *service, const char *name, struct error *err);

/* Enters the network namespace of the workers, if a process still keeps it, and sets `reachable`.
 */
int service_enter_netns(struct service *service, struct error *err);

/* Whether the service is open, locked or not. */
bool service_is_open(const struct service *service);

/* Unlocks and closes; the service stays. */
void service_close(struct service *service);

/* The duplicate of any one listener of the endpoint's group, whoever's, for socket options of the
 * group. The caller closes it at once. -ENOENT if the group has no member any more. */
int service_borrow_member(const struct service *service, unsigned int endpoint, struct error *err);
