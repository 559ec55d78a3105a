/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_candidates.h"

#include "core/schedule_eligible.h"

/* The order of the slots for a connection that can't go where the ring says. */
enum rank {
	RANK_RING,
	RANK_STANDBY, /* has a live worker, but `switch` left its version out */
	RANK_OUT,     /* drained, or weight 0 */
	RANK_STALLED, /* its connections hang */
	RANK_MAX,
	RANK_NONE = RANK_MAX,
};

static enum rank schedule_candidates_rank(const struct rpd_schedule *s, unsigned int slot)
{
	const struct rpd_slot *it = &s->slots[slot];

	if (!schedule_eligible_is_admitted(it))
		return RANK_NONE;
	if (it->entries > 0)
		return RANK_RING;
	if (it->flags & RPD_SLOT_STALLED)
		return RANK_STALLED;
	return it->state == RPD_SLOT_ACTIVE && it->weight > 0 ? RANK_STANDBY : RANK_OUT;
}

/* Appends the slots of this rank and version. Returns how many. */
static unsigned int schedule_candidates_append_rank(struct rpd_schedule *s, enum rank rank,
                                                    unsigned int version)
{
	unsigned int before = s->n_candidates;

	for (unsigned int i = 0; i < s->n_slots; i++)
		if (s->slots[i].version == version && schedule_candidates_rank(s, i) == rank)
			s->candidates[s->n_candidates++] = i;
	return s->n_candidates - before;
}

void schedule_candidates_list(struct rpd_schedule *s)
{
	s->n_candidates = 0;
	for (enum rank rank = 0; rank < RANK_MAX; rank++) {
		for (unsigned int v = 0; v < RPD_VERSION_MAX; v++) {
			struct rpd_version *version = &s->versions[v];
			unsigned int first = s->n_candidates,
			             n = schedule_candidates_append_rank(s, rank, v);

			if (rank == RANK_RING) {
				version->first = first;
				version->count = n;
			} else if (rank == RANK_STANDBY) {
				version->standby_first = first;
				version->standby_count = n;
			}
		}
		if (rank == RANK_RING)
			s->n_ring_slots = s->n_candidates;
	}
}
