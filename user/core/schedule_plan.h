/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The apportionment: how long the ring is, and how many of its entries each slot gets.
 *
 * The slots are on two sides, canary and rest. So the canary's share is right whatever the weights
 * within the sides are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

/* How many different numbers of entries the slots of one side can have: 1 + 2 + ... + 90 = 4095
 * entries, and 91 more don't fit into the ring. */
#define SCHEDULE_GROUP_MAX 90

_Static_assert((SCHEDULE_GROUP_MAX + 1) * (SCHEDULE_GROUP_MAX + 2) / 2 > RPD_RING_MAX,
               "groups of a side");

struct schedule_member {
	uint16_t slot;
	uint16_t weight;
	uint16_t entries;
};

enum schedule_side_name {
	SCHEDULE_REST,
	SCHEDULE_CANARY,
	SCHEDULE_SIDE_MAX,
};

struct schedule_side {
	unsigned int permille; /* its share of the ring */
	unsigned int weight;   /* sum over its members */
	unsigned int entries;  /* sum over its members */
	unsigned int n_members;
	struct schedule_member members[RPD_SLOT_MAX]; /* in ascending slot order */
};

struct schedule_plan {
	unsigned int len;
	struct schedule_side sides[SCHEDULE_SIDE_MAX];
};

/* The side of a slot; without a canary share all slots are on the side REST. */
enum schedule_side_name schedule_plan_side_of(const struct rpd_schedule *s, unsigned int slot);

/* Plans the shortest ring: one entry for each slot that is marked in @in. */
void schedule_plan_init(struct schedule_plan *plan, const struct rpd_schedule *s,
                        const bool in[RPD_SLOT_MAX]);

/* Makes the ring longer by one entry. */
void schedule_plan_grow(struct schedule_plan *plan);

/* Grows the ring to the best length: the shortest of the lengths with the least error. */
void schedule_plan_fit(struct schedule_plan *plan);

/* Sets ring_len and rounding_ppm of @s. */
void schedule_plan_report(const struct schedule_plan *plan, struct rpd_schedule *s);
