/* SPDX-License-Identifier: BSD-2-Clause */
/* Which slots may be in the ring. */
#pragma once

#include <stdbool.h>
#include <reuseportd/abi.h>

/* Whether the slot has a worker, or had one. */
bool schedule_eligible_is_admitted(const struct rpd_slot *slot);

/* Whether the slot's worker is neither DEAD nor STALLED. */
bool schedule_eligible_is_healthy(const struct rpd_slot *slot);

/* Marks the slots that belong in the ring (core/schedule.h). Returns whether there are any. */
bool schedule_eligible_mark(const struct rpd_schedule *s, bool in[RPD_SLOT_MAX]);

/* Marks the slots of a sticky ring's base table: all admitted slots with a weight, whatever their
 * state. So the table stays the same when a worker drains, dies or comes back. */
void schedule_eligible_mark_base(const struct rpd_schedule *s, bool in[RPD_SLOT_MAX]);
