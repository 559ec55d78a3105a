/* SPDX-License-Identifier: BSD-2-Clause */
/* The candidates: the slots that the steering program searches if the ring's entry has no listener.
 */
#pragma once

#include <reuseportd/abi.h>

/* Fills candidates, n_ring_slots, n_candidates and the candidate ranges in versions[] of @s, from
 * slots[]; slots[].entries must be up to date. */
void schedule_candidates_list(struct rpd_schedule *s);
