/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_bed.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "bed/seed.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/schedule_version.h"

static uint16_t schedule_bed_weight(unsigned int kind)
{
	switch (kind) {
	case 0:
		return RPD_WEIGHT_BASE;
	case 1:
		return 1 << seed_between(0, 9);
	case 2:
		return seed_between(500, RPD_WEIGHT_MAX);
	default:
		return seed_between(1, RPD_WEIGHT_MAX);
	}
}

void schedule_bed_random_mix(struct rpd_schedule *s, unsigned int max_slots)
{
	unsigned int kind = seed_between(0, 3), canary_of = seed_between(1, 10);

	schedule_init(s);
	schedule_version_add(s, "v0");
	s->n_slots = seed_between(1, max_slots);
	s->canary_permille = seed_between(0, 1) ? seed_between(1, 999) : 0;
	for (unsigned int i = 0; i < s->n_slots; i++) {
		s->slots[i].state = RPD_SLOT_ACTIVE;
		s->slots[i].weight = schedule_bed_weight(kind);
		s->slots[i].flags = seed_between(1, canary_of) == 1 ? RPD_SLOT_CANARY : 0;
	}
}

void schedule_bed_random(struct rpd_schedule *s, unsigned int max_slots)
{
	static const char *const labels[] = {"blue", "green", "red"};

	schedule_bed_random_mix(s, max_slots);
	s->policy = seed_between(0, 1) ? RPD_STICKY : RPD_ROUND_ROBIN;
	for (unsigned int i = 0; i < s->n_slots; i++) {
		s->slots[i].version = schedule_version_add(s, labels[seed_between(0, 2)]);
		if (seed_between(0, 4) == 0)
			s->slots[i].state = seed_between(RPD_SLOT_EMPTY, RPD_SLOT_DRAINING);
		if (seed_between(0, 4) == 0)
			s->slots[i].flags |= seed_between(0, 7);
		if (seed_between(0, 9) == 0)
			s->slots[i].weight = 0;
	}
	if (seed_between(0, 3) == 0)
		s->only_version = seed_between(0, 3);
}

static bool schedule_bed_is_admitted(const struct rpd_slot *slot)
{
	return slot->state == RPD_SLOT_ACTIVE || slot->state == RPD_SLOT_DRAINING;
}

bool schedule_bed_is_canary(const struct rpd_slot *slot)
{
	return slot->flags & RPD_SLOT_CANARY;
}

static bool schedule_bed_is_unhealthy(const struct rpd_slot *slot)
{
	return slot->flags & (RPD_SLOT_DEAD | RPD_SLOT_STALLED);
}

static bool schedule_bed_is_wanted(const struct rpd_schedule *s, const struct rpd_slot *slot)
{
	if (slot->state != RPD_SLOT_ACTIVE || slot->weight == 0)
		return false;
	return s->only_version == RPD_NO_VERSION || s->only_version == slot->version;
}

static void schedule_bed_find_eligible(const struct rpd_schedule *s, bool eligible[RPD_SLOT_MAX])
{
	bool all_unhealthy = true;

	for (unsigned int i = 0; i < s->n_slots; i++)
		all_unhealthy &= !schedule_bed_is_wanted(s, &s->slots[i]) ||
		                 schedule_bed_is_unhealthy(&s->slots[i]);
	for (unsigned int i = 0; i < s->n_slots; i++)
		eligible[i] = schedule_bed_is_wanted(s, &s->slots[i]) &&
		              (all_unhealthy || !schedule_bed_is_unhealthy(&s->slots[i]));
}

void schedule_bed_find_ideal(const struct rpd_schedule *s, struct ideal *ideal)
{
	bool sharers[RPD_SLOT_MAX];
	double weights[2] = {};
	bool has_canary;

	*ideal = (struct ideal){};
	schedule_bed_find_eligible(s, sharers);
	for (unsigned int i = 0; i < s->n_slots; i++) {
		if (s->policy == RPD_STICKY)
			sharers[i] =
			        schedule_bed_is_admitted(&s->slots[i]) && s->slots[i].weight > 0;
		ideal->n[schedule_bed_is_canary(&s->slots[i])] += sharers[i];
		weights[schedule_bed_is_canary(&s->slots[i])] += sharers[i] * s->slots[i].weight;
	}
	has_canary = s->canary_permille % 1000 && weights[0] > 0 && weights[1] > 0;
	for (unsigned int i = 0; i < 2; i++)
		ideal->side_shares[i] = weights[i] / (weights[0] + weights[1]);
	if (has_canary) {
		ideal->side_shares[1] = s->canary_permille / 1000.0;
		ideal->side_shares[0] = 1 - ideal->side_shares[1];
	}
	for (unsigned int i = 0; i < s->n_slots; i++) {
		unsigned int side = schedule_bed_is_canary(&s->slots[i]);

		if (sharers[i])
			ideal->shares[i] =
			        ideal->side_shares[side] * s->slots[i].weight / weights[side];
	}
}

static void schedule_bed_check_entries(const struct rpd_schedule *s)
{
	unsigned int entries[RPD_SLOT_MAX] = {}, n = 0;
	bool eligible[RPD_SLOT_MAX];

	schedule_bed_find_eligible(s, eligible);
	for (unsigned int i = 0; i < s->ring_len; i++) {
		assert_true(s->ring[i] < s->n_slots);
		entries[s->ring[i]]++;
	}
	for (unsigned int i = 0; i < s->n_slots; i++) {
		assert_int_equal(s->slots[i].entries, entries[i]);
		assert_int_equal(entries[i] > 0, eligible[i]);
		assert_int_equal(schedule_has_slot(s, i), eligible[i]);
		n += eligible[i];
	}
	assert_int_equal(s->n_ring_slots, n);
	assert_true(s->ring_len >= n && s->ring_len <= RPD_RING_MAX);
	if (s->policy == RPD_STICKY)
		assert_int_equal(s->ring_len, n ? SCHEDULE_BED_STICKY_LEN : 0);
}

/* Order of the slots outside the ring: of a version that stands by, drained, stalled. */
static unsigned int schedule_bed_rank_outside(const struct rpd_slot *slot)
{
	if (slot->flags & RPD_SLOT_STALLED)
		return 2;
	return slot->state == RPD_SLOT_ACTIVE && slot->weight > 0 ? 0 : 1;
}

static unsigned int schedule_bed_check_outside(const struct rpd_schedule *s, unsigned int rank,
                                               unsigned int v, unsigned int n)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (schedule_bed_is_admitted(&s->slots[i]) && s->slots[i].entries == 0 &&
		    s->slots[i].version == v && schedule_bed_rank_outside(&s->slots[i]) == rank)
			assert_int_equal(s->candidates[n++], i);
	return n;
}

static void schedule_bed_check_candidates(const struct rpd_schedule *s)
{
	unsigned int n = 0;

	for (unsigned int v = 0; v < RPD_VERSION_MAX; v++) {
		const struct rpd_version *version = &s->versions[v];
		unsigned int first = n;

		for (unsigned int i = 0; i < s->n_slots; i++)
			if (s->slots[i].version == v && s->slots[i].entries > 0)
				assert_int_equal(s->candidates[n++], i);
		assert_int_equal(version->count, n - first);
		if (version->count > 0) {
			assert_int_equal(version->first, first);
			assert_true(version->label[0]);
		}
	}
	assert_int_equal(s->n_ring_slots, n);
	for (unsigned int rank = 0; rank < 3; rank++)
		for (unsigned int v = 0; v < RPD_VERSION_MAX; v++) {
			unsigned int first = n;

			n = schedule_bed_check_outside(s, rank, v, n);
			if (rank == 0)
				assert_int_equal(s->versions[v].standby_count, n - first);
			if (rank == 0 && n > first)
				assert_int_equal(s->versions[v].standby_first, first);
		}
	assert_int_equal(s->n_candidates, n);
}

double schedule_bed_clamp(double value, double low, double high)
{
	return fmin(fmax(value, low), high);
}

/* The canary has the nearest number of entries, and rounding_ppm is the error of the worst slot. */
static void schedule_bed_check_shares(const struct rpd_schedule *s)
{
	struct ideal ideal;
	double worst = 0, canary;
	int canary_entries = 0;

	schedule_bed_find_ideal(s, &ideal);
	if (s->ring_len == 0 || s->n_ring_slots != ideal.n[0] + ideal.n[1])
		return; /* sticky, and heirs have the entries of some slot */
	for (unsigned int i = 0; i < s->n_slots; i++) {
		double entries = ideal.shares[i] * s->ring_len;

		if (s->slots[i].entries > 0)
			worst = fmax(worst, fabs(s->slots[i].entries - entries) / entries);
		canary_entries += schedule_bed_is_canary(&s->slots[i]) ? s->slots[i].entries : 0;
	}
	worst = fmin(worst * 1e6, UINT32_MAX);
	assert_true(s->rounding_ppm >= worst - 0.001 && s->rounding_ppm <= worst + 1.001);

	if (s->canary_permille % 1000 == 0)
		return;
	canary = schedule_bed_clamp(ideal.side_shares[1] * s->ring_len, ideal.n[1],
	                            s->ring_len - ideal.n[0]);
	assert_true(fabs(canary_entries - canary) <= 0.5 + SCHEDULE_BED_EPSILON);
}

/* The outputs do not depend on their earlier values. */
static void schedule_bed_check_pure(const struct rpd_schedule *built)
{
	struct rpd_schedule s = *built;

	memset(s.ring, 0xff, sizeof(s.ring));
	memset(s.candidates, 0xff, sizeof(s.candidates));
	s.ring_len = s.n_ring_slots = s.n_candidates = s.rounding_ppm = 999;
	for (unsigned int i = 0; i < s.n_slots; i++)
		s.slots[i].entries = i;
	for (unsigned int i = 0; i < RPD_VERSION_MAX; i++)
		s.versions[i].first = s.versions[i].count = 77;
	schedule_build(&s);
	assert_memory_equal(&s, built, sizeof(s));
}

void schedule_bed_build(struct rpd_schedule *s)
{
	schedule_build(s);
	schedule_bed_check_entries(s);
	schedule_bed_check_candidates(s);
	schedule_bed_check_shares(s);
	schedule_bed_check_pure(s);
}

void schedule_bed_even(struct rpd_schedule *s, unsigned int n)
{
	schedule_init(s);
	assert_int_equal(schedule_version_add(s, "v0"), 0);
	s->n_slots = n;
	for (unsigned int i = 0; i < n; i++)
		s->slots[i] =
		        (struct rpd_slot){.state = RPD_SLOT_ACTIVE, .weight = RPD_WEIGHT_BASE};
}

uint64_t schedule_bed_divisor(uint64_t a, uint64_t b)
{
	return b ? schedule_bed_divisor(b, a % b) : a;
}
