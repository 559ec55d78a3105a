/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps "queues": what the steering program has seen of the listeners' accept queues; and what it
 * needs to see them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <reuseportd/members_abi.h>

#include "kern/steer.h"

/* Finds what steering programs that are opened from now on read of the kernel's structures. Returns
 * false, with all offsets 0, if the kernel doesn't tell (no BTF), or if programs may not read its
 * memory: then the program can't see a queue. */
bool steer_queues_find_members(struct rpd_members_at *ret);

/* Checks that the service's steering programs can see a queue, those of further endpoints included.
 * Returns 0, or -EOPNOTSUPP with @err set. */
int steer_queues_require(const struct steer *steer, struct error *err);

/* Reads the rows of slots 0 .. @n - 1 in an endpoint. Returns 0 or a negative errno. */
int steer_queues_read(const struct steer *steer, unsigned int endpoint, size_t n,
                      struct rpd_queue *ret);

/* The program takes a row as no longer stuck in the slot's next turn. These two do it for rows that
 * have no turn any more, so that connections do not cost more than without a stuck worker: for an
 * endpoint that is removed; and for the slots out of the ring, a grace period after steer_switch(),
 * when no program writes these rows. */
void steer_queues_forget_endpoint(const struct steer *steer, unsigned int endpoint);
void steer_queues_forget_out_of_ring(const struct steer *steer);
