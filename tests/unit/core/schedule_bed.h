/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of core/schedule: schedules, and a build that checks the ring against an
 * independent statement, mostly in floating point, of what schedule.h promises of any ring.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/schedule.h"

#define SCHEDULE_BED_STICKY_LEN 4093
#define SCHEDULE_BED_EPSILON    1e-9

/* @n workers of one version and of the usual weight. */
void schedule_bed_even(struct rpd_schedule *s, unsigned int n);

/* At most @max_slots slots, all healthy and in the ring; every second schedule has a canary. */
void schedule_bed_random_mix(struct rpd_schedule *s, unsigned int max_slots);

/* Any schedule: of any policy, with slots in any state. */
void schedule_bed_random(struct rpd_schedule *s, unsigned int max_slots);

/* Builds the schedule, and checks all of it. */
void schedule_bed_build(struct rpd_schedule *s);

bool schedule_bed_is_canary(const struct rpd_slot *slot);

/* The share that each slot should have: of the ring, or of the base table of a sticky one. */
struct ideal {
	double shares[RPD_SLOT_MAX];
	double side_shares[2]; /* of all that are not canaries, and of all that are */
	unsigned int n[2];     /* slots of each */
};

void schedule_bed_find_ideal(const struct rpd_schedule *s, struct ideal *ideal);

double schedule_bed_clamp(double value, double low, double high);

/* The greatest common divisor. */
uint64_t schedule_bed_divisor(uint64_t a, uint64_t b);
