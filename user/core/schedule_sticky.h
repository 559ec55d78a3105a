/* SPDX-License-Identifier: BSD-2-Clause */
/* The sticky ring: a consistent-hash table; a client's address chooses the entry. */
#pragma once

#include <stdbool.h>
#include <reuseportd/abi.h>

/* Fills ring, ring_len and rounding_ppm of @s; only slots marked in @eligible get entries. */
void schedule_sticky_fill(struct rpd_schedule *s, const bool eligible[RPD_SLOT_MAX]);
