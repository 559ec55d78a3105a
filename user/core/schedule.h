/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The schedule ring: from what the user asked of each slot to the ring of slot numbers that the
 * steering program walks. A pure function; nothing here knows of sockets, processes or the kernel.
 *
 * A slot is in the ring if it is ACTIVE, has a weight above 0, is of the version that `switch`
 * named (if it did), and is neither DEAD nor STALLED. If that leaves nobody although some slots
 * are merely DEAD or STALLED, those stay in the ring: the steering program then finds out by
 * itself that nobody lives. If it leaves nobody because the user took everybody out, the ring is
 * empty.
 *
 * Shares go by weight. With a canary share, the canary slots together have exactly that, and the
 * weights count among the canary slots and among the others; as long as one of the two kinds is
 * not there, there is no canary. Every slot of the ring has an entry, however small its share is.
 *
 * A round-robin ring is exact if the shares fit into RPD_RING_MAX entries, else as good as they
 * allow, and the entries of a slot are spread out evenly. A sticky ring has a fixed length; when a
 * slot leaves it (drained, dead, stalled, or by `switch`), only that slot's entries change, and
 * when the slot comes back they are as they were. Another weight, canary share or set of admitted
 * slots moves more, though not much more than it has to.
 */
#pragma once

#include <stdbool.h>
#include <reuseportd/abi.h>

/* Sets up an empty round-robin schedule: no slots, no versions, no canary. */
void schedule_init(struct rpd_schedule *s);

/*
 * Computes ring, ring_len, candidates, n_ring_slots, n_candidates, rounding_ppm, versions[].first
 * and .count, and slots[].entries from the rest of @s: policy, n_slots, slots[].weight, .state,
 * .version and .flags, canary_permille, only_version. Version labels that no slot (EMPTY is none)
 * has any more are freed, but for that of only_version. Deterministic. All inputs must be in the
 * range that abi.h gives.
 */
void schedule_build(struct rpd_schedule *s);

/* Whether the last schedule_build() put @slot into the ring. */
bool schedule_has_slot(const struct rpd_schedule *s, unsigned int slot);

/* Whether some slot of the ring is neither DEAD nor STALLED. */
bool schedule_is_served(const struct rpd_schedule *s);
