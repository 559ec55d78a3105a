/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The schedule ring: computes the ring of slot numbers that the steering program walks, from the
 * settings of the slots. A pure function, without sockets, processes or the kernel.
 *
 * A slot is in the ring if it is ACTIVE, has a weight above 0, has the version that `switch` chose
 * (if it did), and is neither DEAD nor STALLED. If no slot is left because the last ones are DEAD
 * or STALLED, these stay in the ring: the steering program then finds no listener, and falls back.
 * If no slot is left because the user took all out, the ring is empty.
 *
 * Shares are proportional to the weights. With a canary share the canary slots together get exactly
 * that share, and the weights count within the canary slots and within the others. While one of the
 * two sides has no slot there is no canary share. Every slot of the ring has at least one entry.
 *
 * A round-robin ring is exact if the shares fit into RPD_RING_MAX entries, and otherwise as close
 * as possible; the entries of a slot are spread evenly. A sticky ring has a fixed length. When a
 * slot leaves it (drained, dead, stalled, or by `switch`), only that slot's entries change, and
 * they come back when the slot does. A change of a weight, of the canary share or of the admitted
 * slots moves little more than necessary.
 */
#pragma once

#include <stdbool.h>
#include <reuseportd/abi.h>

/* Sets up an empty round-robin schedule: no slots, no versions, no canary. */
void schedule_init(struct rpd_schedule *s);

/*
 * Computes ring, ring_len, candidates, n_ring_slots, n_candidates, rounding_ppm, versions[].first
 * and .count, and slots[].entries from the other members of @s: policy, n_slots, slots[].weight,
 * .state, .version and .flags, canary_permille, only_version. Frees the version labels that only
 * EMPTY slots have, except that of only_version. Deterministic. All inputs must be in the ranges of
 * abi.h.
 */
void schedule_build(struct rpd_schedule *s);

/* Whether the last schedule_build() put @slot into the ring. */
bool schedule_has_slot(const struct rpd_schedule *s, unsigned int slot);

/* Whether some slot of the ring is neither DEAD nor STALLED. */
bool schedule_is_served(const struct rpd_schedule *s);
