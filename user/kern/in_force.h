/* SPDX-License-Identifier: BSD-2-Clause */
/* Which program each group of a service has: ours, or one that has taken its place; and whether a
 * listener avoids it (bpf/group.bpf.c). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kern/groups.h"
#include "kern/steer.h"

enum in_force_state {
	IN_FORCE_UNKNOWN, /* it can't be seen (kern/groups.h), or what was read is no program */
	IN_FORCE_UNUSED,  /* no admitted listener is left in the group */
	IN_FORCE_OURS,
	/* Ours is not in force: */
	IN_FORCE_REPLACED, /* another program selects the listener */
	IN_FORCE_DETACHED, /* no program: the kernel's hash selects the listener */
};

/* By endpoint. */
struct in_force {
	enum in_force_state state[RPD_ENDPOINT_MAX];
	uint32_t program[RPD_ENDPOINT_MAX]; /* the other program: its id, or RPD_PROGRAM_CLASSIC */
	bool avoided[RPD_ENDPOINT_MAX];     /* a listener may get all connections, whatever the
	                                       program */
	/* The same, and the listener is not in the group: it had SO_REUSEPORT off when the first
	 * worker began to listen. */
	bool outside[RPD_ENDPOINT_MAX];
	unsigned int n; /* endpoints */
};

/* Buffer size for in_force_describe(). */
#define IN_FORCE_TEXT_MAX 96

/* Looks which program each group has. The calling thread must be in the service's network
 * namespace. Without the service's lock, a group may look detached while its first listener is
 * being admitted. */
void in_force_read(const struct groups *groups, const struct steer *steer, struct in_force *ret);

/* The same from rows that groups_read() has read. NULL: all is unknown. */
void in_force_take(const struct rpd_group_member *rows, size_t n, const struct steer *steer,
                   struct in_force *ret);

/* Looks whether a listener outside the group gets all connections. @rows: as above. Asks the kernel
 * for each group that has our program, mostly once; the calling thread must be in the service's
 * network namespace. What the kernel does not answer in time is not outside. */
void in_force_look_up(const struct rpd_group_member *rows, size_t n, const struct steer *steer,
                      struct in_force *it);

/* Whether the endpoint's group has another program, or none. */
bool in_force_lacks_program(const struct in_force *it, unsigned int endpoint);

/* The same, or a listener avoids the program. */
bool in_force_is_lost(const struct in_force *it, unsigned int endpoint);

/* The first endpoint of in_force_is_lost(), or -1. */
int in_force_find_lost(const struct in_force *it);

/* Describes what selects the listener in the group: "another BPF program (id 7, name)", for
 * example. Returns @buf. */
const char *in_force_describe(const struct in_force *it, unsigned int endpoint,
                              char buf[IN_FORCE_TEXT_MAX]);

/* The same for a row: @ours is the id of our program. */
const char *in_force_describe_row(const struct rpd_group_member *row, uint32_t ours,
                                  char buf[IN_FORCE_TEXT_MAX]);
