/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which cell of a slot is in force (RPD_CELL_MAX in abi.h), for the BPF programs and user space. */
#pragma once

#include <reuseportd/abi.h>

_Static_assert(RPD_SLOT_MAX % RPD_SLOT_SECOND == 0, "the flag is multiplied");

/* The cell of @slot, below RPD_SLOT_MAX, that is in force while @s is. Without a branch, as the
 * steering program calls it for each connection. */
static inline __u32 rpd_slot_cell(const struct rpd_schedule *s, __u32 slot)
{
	const __u8 second = s->slots[slot & (RPD_SLOT_MAX - 1)].flags & RPD_SLOT_SECOND;

	return slot + second * (RPD_SLOT_MAX / RPD_SLOT_SECOND);
}

/* The same for RPD_SLOT_PARKING and RPD_SLOT_PROBE + n too. */
static inline __u32 rpd_cell(const struct rpd_schedule *s, __u32 slot)
{
	return slot < RPD_SLOT_MAX ? rpd_slot_cell(s, slot) : slot + RPD_SLOT_MAX;
}
