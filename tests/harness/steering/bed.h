/* SPDX-License-Identifier: BSD-2-Clause */
/* The bed of the check_steer programs: a steered service with its listeners in this process. It is
 * made and changed by the functions of kern/steer and core/schedule that reuseportd uses.
 * Connections go over the loopback device. Each case has a bed of its own, so that counters and
 * cursor begin at 0. Every function here fails the case if it does not succeed. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "check/check.h"
#include "kern/pins.h"
#include "kern/steer.h"
#include <reuseportd/abi.h>

#define BED_LISTENER_MAX 1100

/* Tests name a listener by its index in bed.listeners. A bed's first workers are opened first, so
 * that this is also their slot. */
struct bed_listener {
	int fd; /* -1 = closed in this process */
	unsigned int endpoint;
	_Atomic unsigned int taken;  /* connections that were accepted from it */
	_Atomic unsigned int newest; /* the highest socket_address_mark() of their clients */
};

struct load;

struct bed {
	struct steer steer;
	struct pins pins;
	struct rpd_schedule draft;
	uint32_t max_conns; /* room in the table of open connections; set before an endpoint */
	struct bed_listener listeners[BED_LISTENER_MAX];
	_Atomic unsigned int n_listeners;
	int epfd;          /* watches all of them */
	int stats_fd;      /* makes the kernel count runs */
	pid_t child;       /* has a listener open */
	struct load *load; /* in progress, or NULL */
};

/* The case's bed, empty: without endpoint and worker. It ends with the case. */
struct bed *bed_new(void);

/* Adds an endpoint on the wildcard address and a free port, and loads its program. Returns its
 * index. */
unsigned int bed_endpoint(struct bed *bed, int family, bool v6only);

/* Opens a listener in the endpoint's group, without admitting it. Returns its index. */
unsigned int bed_listen(struct bed *bed, unsigned int endpoint);

/* Puts a listener into @slot; bed_apply() makes it the slot's worker. */
void bed_admit(struct bed *bed, unsigned int listener, unsigned int slot, const char *version);

/* Opens and admits @n listeners of one version into the slots from @first on. */
void bed_workers(struct bed *bed, unsigned int endpoint, unsigned int first, unsigned int n,
                 const char *version);

/* Makes endpoint 0, IPv4, with @n workers of one version, in force. */
void bed_start(struct bed *bed, unsigned int n);

/* The same with @n workers of version @a, then @n of version @b. */
void bed_start_versions(struct bed *bed, unsigned int n, const char *a, const char *b);

/* Builds the draft's ring, puts it in force, and waits until no program runs by the old one. */
void bed_apply(struct bed *bed);

/* Waits until no run of the program sees what was in force before the call. */
void bed_grace(void);

/* Drains a slot (RPD_SLOT_DRAINING) or resumes it (RPD_SLOT_ACTIVE), in force. */
void bed_set_state(struct bed *bed, unsigned int slot, enum rpd_slot_state state);

/* Attaches the endpoint's program to its group. */
void bed_attach(struct bed *bed, unsigned int endpoint);

/* Closes this process's descriptor of a listener. */
void bed_close(struct bed *bed, unsigned int listener);

/* Leaves a listener to a new process, bed->child, which does not accept. */
void bed_give_away(struct bed *bed, unsigned int listener);
