/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The schedule ring. Every test builds by build(), which holds the result against an independent
 * statement, mostly in floating point, of what schedule.h promises of any ring. RPD_SEED repeats a
 * run of the random tests.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "core/schedule.h"
#include "core/schedule_version.h"

#define STICKY_LEN 4093
#define EPSILON    1e-9

/* How far the number of a slot's entries among the first m may be from m times its share. The
 * furthest seen in 100,000 random rings is 1.5. */
#define PREFIX_BOUND 2.0

/* How much better than the ring that was chosen another one may be. The most seen in 100,000 random
 * mixes is 0.2. */
#define BETTER_BOUND 0.3

/* ---- Random inputs ---- */

static uint64_t random_state;

static unsigned int random_between(unsigned int low, unsigned int high)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return low + (random_state >> 33) % (high - low + 1);
}

static int seed_random(void **state)
{
	const char *given = getenv("RPD_SEED");

	random_state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	print_message("RPD_SEED=%llu\n", (unsigned long long)random_state);
	return 0;
}

static uint16_t random_weight(unsigned int kind)
{
	switch (kind) {
	case 0:
		return RPD_WEIGHT_BASE;
	case 1:
		return 1 << random_between(0, 9);
	case 2:
		return random_between(500, RPD_WEIGHT_MAX);
	default:
		return random_between(1, RPD_WEIGHT_MAX);
	}
}

/* All slots healthy and in the ring, half of the time with a canary. */
static void random_mix(struct rpd_schedule *s, unsigned int max_slots)
{
	unsigned int kind = random_between(0, 3), canary_of = random_between(1, 10);

	schedule_init(s);
	schedule_version_add(s, "v0");
	s->n_slots = random_between(1, max_slots);
	s->canary_permille = random_between(0, 1) ? random_between(1, 999) : 0;
	for (unsigned int i = 0; i < s->n_slots; i++) {
		s->slots[i].state = RPD_SLOT_ACTIVE;
		s->slots[i].weight = random_weight(kind);
		s->slots[i].flags = random_between(1, canary_of) == 1 ? RPD_SLOT_CANARY : 0;
	}
}

/* Anything that may be. */
static void random_service(struct rpd_schedule *s, unsigned int max_slots)
{
	static const char *const labels[] = {"blue", "green", "red"};

	random_mix(s, max_slots);
	s->policy = random_between(0, 1) ? RPD_STICKY : RPD_ROUND_ROBIN;
	for (unsigned int i = 0; i < s->n_slots; i++) {
		s->slots[i].version = schedule_version_add(s, labels[random_between(0, 2)]);
		if (random_between(0, 4) == 0)
			s->slots[i].state = random_between(RPD_SLOT_EMPTY, RPD_SLOT_DRAINING);
		if (random_between(0, 4) == 0)
			s->slots[i].flags |= random_between(0, 7);
		if (random_between(0, 9) == 0)
			s->slots[i].weight = 0;
	}
	if (random_between(0, 3) == 0)
		s->only_version = random_between(0, 3);
}

/* ---- What any schedule must be ---- */

static bool is_admitted(const struct rpd_slot *slot)
{
	return slot->state == RPD_SLOT_ACTIVE || slot->state == RPD_SLOT_DRAINING;
}

static bool is_canary(const struct rpd_slot *slot)
{
	return slot->flags & RPD_SLOT_CANARY;
}

static bool is_ill(const struct rpd_slot *slot)
{
	return slot->flags & (RPD_SLOT_DEAD | RPD_SLOT_STALLED);
}

static bool is_wanted(const struct rpd_schedule *s, const struct rpd_slot *slot)
{
	if (slot->state != RPD_SLOT_ACTIVE || slot->weight == 0)
		return false;
	return s->only_version == RPD_NO_VERSION || s->only_version == slot->version;
}

static void find_eligible(const struct rpd_schedule *s, bool eligible[RPD_SLOT_MAX])
{
	bool all_ill = true;

	for (unsigned int i = 0; i < s->n_slots; i++)
		all_ill &= !is_wanted(s, &s->slots[i]) || is_ill(&s->slots[i]);
	for (unsigned int i = 0; i < s->n_slots; i++)
		eligible[i] = is_wanted(s, &s->slots[i]) && (all_ill || !is_ill(&s->slots[i]));
}

/* The share that each slot should have: of the ring, or of the base table of a sticky one. */
struct ideal {
	double shares[RPD_SLOT_MAX];
	double side_shares[2]; /* of all that are not canaries, and of all that are */
	unsigned int n[2];     /* slots of each */
};

static void find_ideal(const struct rpd_schedule *s, struct ideal *ideal)
{
	bool sharers[RPD_SLOT_MAX];
	double weights[2] = {};
	bool has_canary;

	*ideal = (struct ideal){};
	find_eligible(s, sharers);
	for (unsigned int i = 0; i < s->n_slots; i++) {
		if (s->policy == RPD_STICKY)
			sharers[i] = is_admitted(&s->slots[i]) && s->slots[i].weight > 0;
		ideal->n[is_canary(&s->slots[i])] += sharers[i];
		weights[is_canary(&s->slots[i])] += sharers[i] * s->slots[i].weight;
	}
	has_canary = s->canary_permille % 1000 && weights[0] > 0 && weights[1] > 0;
	for (unsigned int i = 0; i < 2; i++)
		ideal->side_shares[i] = weights[i] / (weights[0] + weights[1]);
	if (has_canary) {
		ideal->side_shares[1] = s->canary_permille / 1000.0;
		ideal->side_shares[0] = 1 - ideal->side_shares[1];
	}
	for (unsigned int i = 0; i < s->n_slots; i++) {
		unsigned int side = is_canary(&s->slots[i]);

		if (sharers[i])
			ideal->shares[i] =
			        ideal->side_shares[side] * s->slots[i].weight / weights[side];
	}
}

static void check_entries(const struct rpd_schedule *s)
{
	unsigned int entries[RPD_SLOT_MAX] = {}, n = 0;
	bool eligible[RPD_SLOT_MAX];

	find_eligible(s, eligible);
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
		assert_int_equal(s->ring_len, n ? STICKY_LEN : 0);
}

/* The order of what is out of the ring: of a version that waits, taken out, stalled. */
static unsigned int rank_outside(const struct rpd_slot *slot)
{
	if (slot->flags & RPD_SLOT_STALLED)
		return 2;
	return slot->state == RPD_SLOT_ACTIVE && slot->weight > 0 ? 0 : 1;
}

static unsigned int check_outside(const struct rpd_schedule *s, unsigned int rank, unsigned int v,
                                  unsigned int n)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (is_admitted(&s->slots[i]) && s->slots[i].entries == 0 &&
		    s->slots[i].version == v && rank_outside(&s->slots[i]) == rank)
			assert_int_equal(s->candidates[n++], i);
	return n;
}

static void check_candidates(const struct rpd_schedule *s)
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

			n = check_outside(s, rank, v, n);
			if (rank == 0)
				assert_int_equal(s->versions[v].standby_count, n - first);
			if (rank == 0 && n > first)
				assert_int_equal(s->versions[v].standby_first, first);
		}
	assert_int_equal(s->n_candidates, n);
}

static double clamp(double value, double low, double high)
{
	return fmin(fmax(value, low), high);
}

/* The canary has the nearest number of entries, and rounding_ppm is the error of the worst slot. */
static void check_shares(const struct rpd_schedule *s)
{
	struct ideal ideal;
	double worst = 0, canary;
	int canary_entries = 0;

	find_ideal(s, &ideal);
	if (s->ring_len == 0 || s->n_ring_slots != ideal.n[0] + ideal.n[1])
		return; /* sticky, and somebody's entries went to heirs */
	for (unsigned int i = 0; i < s->n_slots; i++) {
		double entries = ideal.shares[i] * s->ring_len;

		if (s->slots[i].entries > 0)
			worst = fmax(worst, fabs(s->slots[i].entries - entries) / entries);
		canary_entries += is_canary(&s->slots[i]) ? s->slots[i].entries : 0;
	}
	worst = fmin(worst * 1e6, UINT32_MAX);
	assert_true(s->rounding_ppm >= worst - 0.001 && s->rounding_ppm <= worst + 1.001);

	if (s->canary_permille % 1000 == 0)
		return;
	canary = clamp(ideal.side_shares[1] * s->ring_len, ideal.n[1], s->ring_len - ideal.n[0]);
	assert_true(fabs(canary_entries - canary) <= 0.5 + EPSILON);
}

/* The outputs depend on nothing that was in them before. */
static void check_pure(const struct rpd_schedule *built)
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

static void build(struct rpd_schedule *s)
{
	schedule_build(s);
	check_entries(s);
	check_candidates(s);
	check_shares(s);
	check_pure(s);
}

/* @n workers as nobody weighted them. */
static void even_service(struct rpd_schedule *s, unsigned int n)
{
	schedule_init(s);
	assert_int_equal(schedule_version_add(s, "v0"), 0);
	s->n_slots = n;
	for (unsigned int i = 0; i < n; i++)
		s->slots[i] =
		        (struct rpd_slot){.state = RPD_SLOT_ACTIVE, .weight = RPD_WEIGHT_BASE};
}

/* ---- Who is in the ring ---- */

static void eligible_slots(void **state)
{
	static const struct {
		struct rpd_slot slot;
		bool in;
	} cases[] = {
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1}, true},
	        {{.state = RPD_SLOT_ACTIVE, .weight = RPD_WEIGHT_MAX}, true},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .flags = RPD_SLOT_CANARY}, true},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 0}, false},
	        {{.state = RPD_SLOT_EMPTY, .weight = 1}, false},
	        {{.state = RPD_SLOT_DRAINING, .weight = 1}, false},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .flags = RPD_SLOT_DEAD}, false},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .flags = RPD_SLOT_STALLED}, false},
	        {{.state = RPD_SLOT_ACTIVE, .weight = 1, .version = 1}, false},
	};
	struct rpd_schedule s;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases) * RPD_POLICY_MAX; i++) {
		even_service(&s, 3);
		s.policy = i % RPD_POLICY_MAX;
		s.only_version = 0;
		schedule_version_add(&s, "v1");
		s.slots[1] = cases[i / RPD_POLICY_MAX].slot;
		build(&s);
		assert_int_equal(schedule_has_slot(&s, 1), cases[i / RPD_POLICY_MAX].in);
		assert_true(schedule_has_slot(&s, 0) && schedule_has_slot(&s, 2));
		assert_false(schedule_has_slot(&s, 3));
		assert_true(schedule_is_served(&s));
	}
}

static void all_ill_stay(void **state)
{
	struct rpd_schedule s;

	for (unsigned int policy = 0; policy < RPD_POLICY_MAX; policy++) {
		even_service(&s, 4);
		s.policy = policy;
		s.slots[0].flags = RPD_SLOT_DEAD;
		s.slots[1].flags = RPD_SLOT_STALLED;
		s.slots[2].state = RPD_SLOT_DRAINING;
		build(&s);
		assert_int_equal(s.n_ring_slots, 1);
		assert_true(schedule_is_served(&s));

		s.slots[3].state = RPD_SLOT_DRAINING;
		build(&s);
		assert_int_equal(s.n_ring_slots, 2);
		assert_true(schedule_has_slot(&s, 0) && schedule_has_slot(&s, 1));
		assert_false(schedule_is_served(&s));
	}
}

static void nobody_wanted(void **state)
{
	struct rpd_schedule s;

	for (unsigned int policy = 0; policy < RPD_POLICY_MAX; policy++) {
		even_service(&s, 3);
		s.policy = policy;
		s.slots[0].state = RPD_SLOT_DRAINING;
		s.slots[1].weight = 0;
		s.slots[2].state = RPD_SLOT_EMPTY;
		build(&s);
		assert_int_equal(s.ring_len, 0);
		assert_int_equal(s.n_ring_slots, 0);
		assert_int_equal(s.n_candidates, 2);
		assert_int_equal(s.rounding_ppm, 0);
		assert_false(schedule_is_served(&s));

		s.n_slots = 0;
		build(&s);
		assert_int_equal(s.ring_len + s.n_candidates, 0);
	}
}

/* ---- Shares of a round-robin ring ---- */

struct mix {
	unsigned int canary_permille;
	unsigned int n_slots;
	unsigned int weights[8];
	unsigned int canaries; /* a bit a slot */
	unsigned int ring_len;
	unsigned int entries[8];
	unsigned int rounding_ppm;
};

/* clang-format off */
static const struct mix mixes[] = {
	{0, 1, {7}, 0, 1, {1}, 0},
	{0, 2, {50, 100}, 0, 3, {1, 2}, 0},
	{0, 3, {1, 2, 5}, 0, 8, {1, 2, 5}, 0},
	{0, 3, {1000, 1000, 1}, 0, 2001, {1000, 1000, 1}, 0},
	{0, 5, {1000, 1000, 1000, 1000, 96}, 0, 512, {125, 125, 125, 125, 12}, 0},
	{0, 5, {1000, 1000, 1000, 1000, 95}, 0, 819, {200, 200, 200, 200, 19}, 0},
	/* 4,097 is one too many: 55 is 17.7 ppm more than 97 / 4097 of 2323 */
	{0, 5, {1000, 1000, 1000, 1000, 97}, 0, 2323, {567, 567, 567, 567, 55}, 18},
	/* canaries that fit exactly */
	{2, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x80, 3500, {499, 499, 499, 499, 499, 499, 499, 7}, 0},
	{10, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x80, 700, {99, 99, 99, 99, 99, 99, 99, 7}, 0},
	{50, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x01, 140, {7, 19, 19, 19, 19, 19, 19, 19}, 0},
	{500, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x08, 14, {1, 1, 1, 7, 1, 1, 1, 1}, 0},
	{50, 4, {100, 200, 500, 3}, 0x08, 160, {19, 38, 95, 8}, 0},
	{100, 4, {1, 3, 100, 100}, 0x03, 40, {1, 3, 18, 18}, 0},
	{999, 2, {1, 1}, 0x01, 1000, {999, 1}, 0},
	{1, 2, {1, 1}, 0x01, 1000, {1, 999}, 0},
	/* canaries that don't */
	{1, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x80, 4001, {571, 571, 571, 571, 571, 571, 571, 4}, 250},
	{333, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x80, 4009, {382, 382, 382, 382, 382, 382, 382, 1335}, 3},
	/* as good as twice as long */
	{95, 8, {9, 2, 9, 9, 9, 9, 9, 9}, 0x80, 2042, {297, 66, 297, 297, 297, 297, 297, 194}, 52},
	/* 0.1 % for seven: one entry each is more than that */
	{999, 8, {9, 9, 9, 9, 9, 9, 9, 9}, 0x80, 4096, {1, 1, 1, 1, 1, 1, 1, 4089}, 708985},
	/* no canary: no share, none or all marked, all of the ring */
	{0, 2, {1, 2}, 0x02, 3, {1, 2}, 0},
	{100, 2, {1, 2}, 0x00, 3, {1, 2}, 0},
	{100, 2, {1, 2}, 0x03, 3, {1, 2}, 0},
	{1000, 2, {1, 2}, 0x02, 3, {1, 2}, 0},
};
/* clang-format on */

static void known_mixes(void **state)
{
	for (const struct mix *m = mixes; m < mixes + ARRAY_SIZE(mixes); m++) {
		struct rpd_schedule s;

		even_service(&s, m->n_slots);
		s.canary_permille = m->canary_permille;
		for (unsigned int i = 0; i < m->n_slots; i++) {
			s.slots[i].weight = m->weights[i];
			s.slots[i].flags = m->canaries & 1 << i ? RPD_SLOT_CANARY : 0;
		}
		build(&s);
		print_message("mix %td: %u entries, %u ppm\n", m - mixes, s.ring_len,
		              s.rounding_ppm);
		assert_int_equal(s.ring_len, m->ring_len);
		assert_int_equal(s.rounding_ppm, m->rounding_ppm);
		for (unsigned int i = 0; i < m->n_slots; i++)
			assert_int_equal(s.slots[i].entries, m->entries[i]);
	}
}

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
	return b ? greatest_common_divisor(b, a % b) : a;
}

/* Length of the shortest ring in which all shares are exact. */
static uint64_t exact_len(const struct rpd_schedule *s)
{
	uint64_t sums[2] = {}, factors[2] = {1, 1}, divisor = 0;

	for (unsigned int i = 0; i < s->n_slots; i++)
		sums[is_canary(&s->slots[i])] += s->slots[i].weight;
	if (s->canary_permille && sums[0] && sums[1]) {
		factors[0] = (1000 - s->canary_permille) * sums[1];
		factors[1] = s->canary_permille * sums[0];
	}
	for (unsigned int i = 0; i < s->n_slots; i++)
		divisor = greatest_common_divisor(divisor, factors[is_canary(&s->slots[i])] *
		                                                   s->slots[i].weight);
	return (factors[0] * sums[0] + factors[1] * sums[1]) / divisor;
}

static void exact_if_it_fits(void **state)
{
	unsigned int n_exact = 0;

	for (unsigned int i = 0; i < 200; i++) {
		struct rpd_schedule s;
		uint64_t len;

		random_mix(&s, 12);
		if (random_between(0, 1))
			s.canary_permille -= s.canary_permille % 50;
		build(&s);
		len = exact_len(&s);
		assert_int_equal(s.rounding_ppm == 0, len <= RPD_RING_MAX);
		if (s.rounding_ppm == 0)
			assert_int_equal(s.ring_len, len);
		n_exact += s.rounding_ppm == 0;
	}
	assert_in_range(n_exact, 20, 180);
}

/* Whether in some way @len entries can be shared out so that no slot's share is wrong by more than
 * @error of it, and the canary has the nearest number. */
static bool is_possible(const struct rpd_schedule *s, const struct ideal *ideal, unsigned int len,
                        double error)
{
	double low[2] = {}, high[2] = {}, canary = ideal->side_shares[1] * len;
	double smallest = 0, largest = len; /* numbers that the canary may have */

	for (unsigned int i = 0; i < s->n_slots; i++) {
		double entries = ideal->shares[i] * len;
		double least = fmax(1, ceil(entries * (1 - error) - EPSILON));
		double most = floor(entries * (1 + error) + EPSILON);

		if (least > most)
			return false;
		low[is_canary(&s->slots[i])] += least;
		high[is_canary(&s->slots[i])] += most;
	}
	if (s->canary_permille > 0) {
		canary = clamp(canary, ideal->n[1], len - ideal->n[0]);
		smallest = ceil(canary - 0.5 - EPSILON);
		largest = floor(canary + 0.5 + EPSILON);
	}
	smallest = fmax(smallest, fmax(low[1], len - high[0]));
	largest = fmin(largest, fmin(high[1], len - low[0]));
	return smallest <= largest;
}

static void as_good_as_can_be(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		struct rpd_schedule s;
		struct ideal ideal;
		double error;

		random_mix(&s, i % 10 ? 40 : RPD_SLOT_MAX);
		build(&s);
		find_ideal(&s, &ideal);
		if (s.rounding_ppm == UINT32_MAX)
			continue; /* as much or more */
		error = s.rounding_ppm / 1e6;
		assert_true(is_possible(&s, &ideal, s.ring_len, error));
		if (s.rounding_ppm == 0)
			continue;
		error = error * (1 - BETTER_BOUND) - 1e-6;
		for (unsigned int len = s.n_slots; len <= RPD_RING_MAX; len++)
			assert_false(is_possible(&s, &ideal, len, error));
	}
}

static void many_slots(void **state)
{
	struct rpd_schedule s;

	even_service(&s, RPD_SLOT_MAX);
	build(&s);
	assert_int_equal(s.ring_len, RPD_SLOT_MAX);
	assert_int_equal(s.rounding_ppm, 0);

	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		s.slots[i].weight = random_between(1, RPD_WEIGHT_MAX);
	build(&s);
	assert_int_equal(s.n_ring_slots, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		for (unsigned int j = 0; j < RPD_SLOT_MAX; j++)
			if (s.slots[i].weight < s.slots[j].weight)
				assert_true(s.slots[i].entries <= s.slots[j].entries);

	/* the worst that there can be: 0.1 % for 1,023 canaries, one of which has no weight to
	 * speak of */
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++) {
		s.slots[i].weight = i == 1 ? 1 : RPD_WEIGHT_MAX;
		s.slots[i].flags = i > 0 ? RPD_SLOT_CANARY : 0;
	}
	s.canary_permille = 1;
	build(&s);
	assert_int_equal(s.slots[0].entries, RPD_RING_MAX - 1023);
	assert_int_equal(s.rounding_ppm, UINT32_MAX);
}

/* ---- Order of a round-robin ring ---- */

static void assert_ring(const struct rpd_schedule *s, const uint16_t *ring, unsigned int len)
{
	assert_int_equal(s->ring_len, len);
	assert_memory_equal(s->ring, ring, len * sizeof(ring[0]));
}

static void known_rings(void **state)
{
	struct rpd_schedule s;

	even_service(&s, 3);
	s.slots[0].weight = 1;
	s.slots[1].weight = 2;
	s.slots[2].weight = 5;
	build(&s);
	assert_ring(&s, (uint16_t[]){2, 1, 2, 0, 2, 2, 1, 2}, 8);

	/* those with the same weight keep their order */
	even_service(&s, 4);
	s.slots[2].weight = 3 * RPD_WEIGHT_BASE;
	build(&s);
	assert_ring(&s, (uint16_t[]){0, 2, 1, 2, 3, 2}, 6);

	/* the canary side, slots 1 and 3, has every second entry; 1 has twice as many as 3 */
	even_service(&s, 4);
	s.slots[1].flags = s.slots[3].flags = RPD_SLOT_CANARY;
	s.slots[1].weight = 2 * RPD_WEIGHT_BASE;
	s.canary_permille = 500;
	build(&s);
	assert_ring(&s, (uint16_t[]){0, 1, 2, 3, 0, 1, 2, 1, 0, 3, 2, 1}, 12);
}

static void equal_workers_take_turns(void **state)
{
	static const unsigned int sizes[] = {1, 2, 3, 8, 100, RPD_SLOT_MAX - 1, RPD_SLOT_MAX};

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
		bool with_hole = i % 2 && sizes[i / 2] > 2;
		struct rpd_schedule s;

		even_service(&s, sizes[i / 2]);
		for (unsigned int k = 0; k < s.n_slots; k++)
			s.slots[k].weight = 1 + i;
		if (with_hole)
			s.slots[1].state = RPD_SLOT_DRAINING;
		build(&s);
		assert_int_equal(s.ring_len, sizes[i / 2] - with_hole);
		for (unsigned int k = 0; k < s.ring_len; k++)
			assert_int_equal(s.ring[k], with_hole && k ? k + 1 : k);
	}
}

/* Over all stretches of the ring, also over the wrap and of any length: the largest difference
 * between the numbers of entries that @a and @b have. They must have the same number in all. */
static int largest_difference(const struct rpd_schedule *s, unsigned int a, unsigned int b)
{
	int difference = 0, most = 0, least = 0;

	for (unsigned int i = 0; i < s->ring_len; i++) {
		difference += (s->ring[i] == a) - (s->ring[i] == b);
		most = difference > most ? difference : most;
		least = difference < least ? difference : least;
	}
	assert_int_equal(difference, 0);
	return most - least;
}

static void equals_stay_within_one(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		struct rpd_schedule s;
		unsigned int n_pairs = 0;

		random_mix(&s, 16);
		s.n_slots += 4;
		for (unsigned int k = s.n_slots - 4; k < s.n_slots; k++)
			s.slots[k] = s.slots[0];
		build(&s);
		for (unsigned int a = 0; a < s.n_slots; a++)
			for (unsigned int b = 0; b < a; b++) {
				if (s.slots[a].entries != s.slots[b].entries ||
				    is_canary(&s.slots[a]) != is_canary(&s.slots[b]))
					continue;
				assert_true(largest_difference(&s, a, b) <= 1);
				n_pairs++;
			}
		assert_true(n_pairs > 0);
	}
}

/* Longest and shortest way from one of a set of slots to the next one, over the wrap too. */
static void find_gaps(const struct rpd_schedule *s, const bool set[RPD_SLOT_MAX],
                      unsigned int *ret_shortest, unsigned int *ret_longest)
{
	unsigned int last = 0, seen = 0;

	*ret_shortest = UINT32_MAX;
	*ret_longest = 0;
	for (unsigned int i = 0; i < 2 * s->ring_len; i++) {
		if (!set[s->ring[i % s->ring_len]])
			continue;
		if (seen++ > 0) {
			*ret_shortest = i - last < *ret_shortest ? i - last : *ret_shortest;
			*ret_longest = i - last > *ret_longest ? i - last : *ret_longest;
		}
		last = i;
	}
}

static void canaries_are_spread_out(void **state)
{
	for (unsigned int permille = 1; permille < 1000; permille += 1 + permille / 50) {
		bool canaries[RPD_SLOT_MAX] = {};
		unsigned int entries = 0, shortest, longest;
		struct rpd_schedule s;

		random_mix(&s, 20);
		s.n_slots += 2;
		s.canary_permille = permille;
		s.slots[s.n_slots - 2] = (struct rpd_slot){7, .state = RPD_SLOT_ACTIVE};
		s.slots[s.n_slots - 1] =
		        (struct rpd_slot){7, .state = RPD_SLOT_ACTIVE, .flags = RPD_SLOT_CANARY};
		build(&s);
		for (unsigned int i = 0; i < s.n_slots; i++) {
			canaries[i] = is_canary(&s.slots[i]);
			entries += canaries[i] ? s.slots[i].entries : 0;
		}
		find_gaps(&s, canaries, &shortest, &longest);
		assert_int_equal(shortest, s.ring_len / entries);
		assert_int_equal(longest, (s.ring_len + entries - 1) / entries);
		if (permille == 50)
			assert_in_range(longest, 1, 21);
	}
}

/* 5 % by weight against others that are equal. */
static void one_in_twenty(void **state)
{
	for (unsigned int others = 1; others <= 1000; others += others < 60 ? 1 : 47) {
		bool set[RPD_SLOT_MAX] = {true};
		unsigned int shortest, longest;
		struct rpd_schedule s;

		even_service(&s, 1 + others);
		s.slots[0].weight = others;
		for (unsigned int i = 1; i <= others; i++)
			s.slots[i].weight = 19;
		build(&s);
		find_gaps(&s, set, &shortest, &longest);
		assert_in_range(shortest, 19, 20);
		assert_in_range(longest, 20, 21);
	}
}

/* At any point of the ring everybody has had their share, but for a few entries. */
static void always_near_the_share(void **state)
{
	double furthest = 0, furthest_canary = 0;

	for (unsigned int i = 0; i < 200; i++) {
		unsigned int had[RPD_SLOT_MAX] = {}, had_canary = 0, canary_entries = 0;
		struct rpd_schedule s;

		random_mix(&s, i % 10 ? 30 : RPD_SLOT_MAX);
		build(&s);
		for (unsigned int k = 0; k < s.n_slots; k++)
			if (is_canary(&s.slots[k]))
				canary_entries += s.slots[k].entries;
		/* it is furthest right before or right after an entry of its own */
		for (unsigned int k = 0; k < s.ring_len; k++) {
			unsigned int slot = s.ring[k];
			double share = (double)s.slots[slot].entries / s.ring_len;
			double canary_share = (double)canary_entries / s.ring_len;

			furthest = fmax(furthest, share * k - had[slot]);
			furthest = fmax(furthest, ++had[slot] - share * (k + 1));
			had_canary += is_canary(&s.slots[slot]);
			if (s.canary_permille)
				furthest_canary = fmax(furthest_canary,
				                       fabs(had_canary - canary_share * (k + 1)));
		}
	}
	print_message("furthest from the share: slot %.3f, canary %.3f\n", furthest,
	              furthest_canary);
	assert_true(furthest <= PREFIX_BOUND);
	assert_true(furthest_canary <= 0.5 + EPSILON);
}

/* ---- Sticky rings ---- */

static void even_sticky(struct rpd_schedule *s, unsigned int n)
{
	even_service(s, n);
	s->policy = RPD_STICKY;
}

static void sticky_shares(void **state)
{
	struct rpd_schedule s;

	even_sticky(&s, 8);
	build(&s);
	for (unsigned int i = 0; i < 8; i++)
		assert_in_range(s.slots[i].entries, 511, 512);

	s.slots[7].flags = RPD_SLOT_CANARY;
	s.canary_permille = 50;
	build(&s);
	assert_int_equal(s.slots[7].entries, 205);
	for (unsigned int i = 0; i < 7; i++)
		assert_in_range(s.slots[i].entries, 555, 556);

	even_sticky(&s, 3);
	s.slots[0].weight = 1;
	s.slots[1].weight = 2;
	s.slots[2].weight = 5;
	build(&s);
	assert_int_equal(s.slots[0].entries, 512);
	assert_int_equal(s.slots[1].entries, 1023);
	assert_int_equal(s.slots[2].entries, 2558);

	even_sticky(&s, RPD_SLOT_MAX);
	build(&s);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		assert_in_range(s.slots[i].entries, 3, 4);
}

/* Neighbours in the ring have nothing to do with each other: no slot has long runs. */
static void sticky_is_mixed(void **state)
{
	struct rpd_schedule s;
	unsigned int repeats = 0;

	even_sticky(&s, 8);
	build(&s);
	for (unsigned int i = 1; i < s.ring_len; i++)
		repeats += s.ring[i] == s.ring[i - 1];
	assert_in_range(repeats, STICKY_LEN / 8 - 80, STICKY_LEN / 8 + 80);
}

enum exit_kind {
	DRAINED,
	DEAD,
	STALLED,
	EXIT_KIND_MAX,
};

static void take_out(struct rpd_slot *slot, enum exit_kind how)
{
	if (how == DRAINED)
		slot->state = RPD_SLOT_DRAINING;
	else
		slot->flags |= how == DEAD ? RPD_SLOT_DEAD : RPD_SLOT_STALLED;
}

static void put_back(struct rpd_slot *slot)
{
	slot->state = RPD_SLOT_ACTIVE;
	slot->flags &= ~(RPD_SLOT_DEAD | RPD_SLOT_STALLED);
}

/* Takes @slot out: nothing but its entries may move. */
static void assert_only_its_own_move(struct rpd_schedule *s, unsigned int slot, enum exit_kind how)
{
	struct rpd_schedule before = *s;

	take_out(&s->slots[slot], how);
	build(s);
	for (unsigned int i = 0; i < STICKY_LEN; i++) {
		assert_int_not_equal(s->ring[i], slot);
		if (before.ring[i] != slot)
			assert_int_equal(s->ring[i], before.ring[i]);
	}
	assert_int_equal(s->rounding_ppm, before.rounding_ppm);
}

static void sticky_one_leaves(void **state)
{
	for (unsigned int slot = 0; slot < 8; slot++)
		for (unsigned int how = 0; how < EXIT_KIND_MAX; how++) {
			struct rpd_schedule s, whole;

			even_sticky(&s, 8);
			build(&s);
			whole = s;
			assert_only_its_own_move(&s, slot, how);
			/* 512 entries for 7 heirs: 73 each, standard deviation 8 */
			for (unsigned int i = 0; i < 8; i++)
				if (i != slot)
					assert_in_range(s.slots[i].entries, 511 + 41, 512 + 105);
			put_back(&s.slots[slot]);
			build(&s);
			assert_memory_equal(&s, &whole, sizeof(s));
		}
}

/* Heirs get entries by their weight. */
static void sticky_heirs_by_weight(void **state)
{
	struct rpd_schedule s;

	even_sticky(&s, 3);
	s.slots[0].weight = 500;
	s.slots[1].weight = 100;
	s.slots[2].weight = 400;
	build(&s);
	assert_only_its_own_move(&s, 0, DEAD);
	/* 2,046 entries in 1 : 4, standard deviation 18 */
	assert_in_range(s.slots[1].entries, 409 + 409 - 72, 410 + 409 + 72);
}

/* Any number leave one after the other and come back in another order. */
static void sticky_many_leave(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		struct rpd_schedule s, whole;
		unsigned int stride, n_out;

		random_mix(&s, i % 10 ? 20 : 300);
		s.policy = RPD_STICKY;
		build(&s);
		whole = s;
		stride = random_between(1, s.n_slots);
		while (greatest_common_divisor(stride, s.n_slots) != 1)
			stride--;
		n_out = random_between(0, s.n_slots - 1);
		n_out = n_out < 25 ? n_out : 25;
		for (unsigned int k = 0; k < n_out; k++)
			assert_only_its_own_move(&s, k * stride % s.n_slots,
			                         random_between(0, EXIT_KIND_MAX - 1));
		for (unsigned int k = 0; k < n_out; k++) {
			struct rpd_schedule with = s, without;

			put_back(&with.slots[k * stride % s.n_slots]);
			build(&with);
			without = with;
			assert_only_its_own_move(&without, k * stride % s.n_slots, DEAD);
			assert_memory_equal(without.ring, s.ring, sizeof(s.ring));
			s = with;
		}
		assert_memory_equal(&s, &whole, sizeof(s));
	}
}

static unsigned int count_canary_entries(const struct rpd_schedule *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n_slots; i++)
		n += is_canary(&s->slots[i]) ? s->slots[i].entries : 0;
	return n;
}

static void sticky_canary_keeps_its_share(void **state)
{
	struct rpd_schedule s;
	unsigned int share;

	even_sticky(&s, 8);
	s.canary_permille = 100;
	s.slots[0].flags = s.slots[5].flags = RPD_SLOT_CANARY;
	build(&s);
	share = count_canary_entries(&s);
	assert_int_equal(share, 409);
	assert_only_its_own_move(&s, 1, DRAINED);
	assert_int_equal(count_canary_entries(&s), share);
	assert_only_its_own_move(&s, 5, DEAD);
	assert_int_equal(s.slots[0].entries, share);
	assert_only_its_own_move(&s, 0, DEAD); /* no canary is left: to the others */
	assert_int_equal(count_canary_entries(&s), 0);
}

static void sticky_base(void **state)
{
	struct rpd_schedule s, before;

	/* a slot without weight is as none */
	even_sticky(&s, 8);
	s.slots[3].state = RPD_SLOT_EMPTY;
	build(&s);
	before = s;
	s.slots[3].state = RPD_SLOT_ACTIVE;
	s.slots[3].weight = 0;
	build(&s);
	assert_memory_equal(s.ring, before.ring, sizeof(s.ring));

	/* `switch` moves the clients of the other version, and no others */
	even_sticky(&s, 8);
	for (unsigned int i = 0; i < 8; i++)
		s.slots[i].version = i % 2;
	schedule_version_add(&s, "v1");
	build(&s);
	before = s;
	s.only_version = 1;
	build(&s);
	for (unsigned int i = 0; i < STICKY_LEN; i++) {
		assert_int_equal(s.ring[i] % 2, 1);
		assert_true(s.ring[i] == before.ring[i] || before.ring[i] % 2 == 0);
	}
}

static void sticky_one_joins(void **state)
{
	struct rpd_schedule s, before;
	unsigned int moved = 0;

	even_sticky(&s, 9);
	s.slots[8].state = RPD_SLOT_EMPTY;
	build(&s);
	before = s;
	s.slots[8].state = RPD_SLOT_ACTIVE;
	build(&s);
	for (unsigned int i = 0; i < STICKY_LEN; i++)
		moved += s.ring[i] != before.ring[i];
	assert_in_range(moved, STICKY_LEN / 9, STICKY_LEN / 9 * 3 / 2);
}

/* ---- Versions and candidates ---- */

static void version_labels(void **state)
{
	struct rpd_schedule s;
	char label[RPD_LABEL_MAX + 1] = "";

	schedule_init(&s);
	assert_int_equal(schedule_version_find(&s, ""), -1);
	assert_int_equal(schedule_version_find(&s, "blue"), -1);
	assert_int_equal(schedule_version_add(&s, ""), -EINVAL);
	assert_int_equal(schedule_version_add(&s, "two words"), -EINVAL);
	assert_int_equal(schedule_version_add(&s, "red\033[31m"), -EINVAL);
	assert_int_equal(schedule_version_add(&s, "\xff"), -EINVAL);
	memset(label, 'x', RPD_LABEL_MAX);
	assert_int_equal(schedule_version_add(&s, label), -EINVAL);
	label[RPD_LABEL_MAX - 1] = 0;
	assert_int_equal(schedule_version_add(&s, label), 0);
	assert_int_equal(schedule_version_add(&s, "blue"), 1);
	assert_int_equal(schedule_version_add(&s, label), 0);
	assert_int_equal(schedule_version_find(&s, "blue"), 1);
	assert_int_equal(schedule_version_find(&s, "blu"), -1);
	for (int v = 2; v < RPD_VERSION_MAX; v++) {
		snprintf(label, sizeof(label), "v%d", v);
		assert_int_equal(schedule_version_add(&s, label), v);
	}
	assert_int_equal(schedule_version_add(&s, "one-more"), -ENOSPC);
	assert_int_equal(schedule_version_add(&s, "blue"), 1);
	s.versions[1] = (struct rpd_version){};
	assert_int_equal(schedule_version_add(&s, "one-more"), 1);
}

static void unused_versions_are_freed(void **state)
{
	struct rpd_schedule s;

	even_service(&s, 3);
	for (unsigned int v = 1; v < 5; v++)
		assert_int_equal(schedule_version_add(&s, (char[]){'v', '0' + v, 0}), v);
	s.slots[1].version = 1;
	s.slots[1].state = RPD_SLOT_DRAINING;
	s.slots[2].version = 2;
	s.slots[2].state = RPD_SLOT_EMPTY;
	s.only_version = 3;
	build(&s);
	assert_int_equal(s.ring_len, 0);
	assert_int_equal(schedule_version_find(&s, "v0"), 0);
	assert_int_equal(schedule_version_find(&s, "v1"), 1);
	assert_int_equal(schedule_version_find(&s, "v2"), -1);
	assert_int_equal(schedule_version_find(&s, "v3"), 3);
	assert_int_equal(schedule_version_find(&s, "v4"), -1);

	s.only_version = RPD_NO_VERSION;
	build(&s);
	assert_int_equal(schedule_version_find(&s, "v3"), -1);
}

static void candidates_by_version(void **state)
{
	static const uint16_t expected[] = {1, 4, 0, 5, 3, 6, 2};
	struct rpd_schedule s;

	even_service(&s, 8);
	schedule_version_add(&s, "v1");
	s.slots[0].version = s.slots[5].version = s.slots[2].version = 1;
	s.slots[2].state = RPD_SLOT_DRAINING;
	s.slots[3].flags = RPD_SLOT_DEAD;
	s.slots[6].weight = 0;
	s.slots[7].state = RPD_SLOT_EMPTY;
	build(&s);
	assert_int_equal(s.n_ring_slots, 4);
	assert_int_equal(s.n_candidates, 7);
	assert_memory_equal(s.candidates, expected, sizeof(expected));
	assert_int_equal(s.versions[1].first, 2);
	assert_int_equal(s.versions[1].count, 2);
}

/* Whatever comes in, what comes out is as build() demands. */
static void any_service(void **state)
{
	unsigned int n_empty = 0;

	for (unsigned int i = 0; i < 300; i++) {
		struct rpd_schedule s;

		random_service(&s, i % 40 ? 20 : RPD_SLOT_MAX);
		build(&s);
		n_empty += s.ring_len == 0;
	}
	assert_in_range(n_empty, 1, 150);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(eligible_slots),
	        cmocka_unit_test(all_ill_stay),
	        cmocka_unit_test(nobody_wanted),
	        cmocka_unit_test(known_mixes),
	        cmocka_unit_test(exact_if_it_fits),
	        cmocka_unit_test(as_good_as_can_be),
	        cmocka_unit_test(many_slots),
	        cmocka_unit_test(known_rings),
	        cmocka_unit_test(equal_workers_take_turns),
	        cmocka_unit_test(equals_stay_within_one),
	        cmocka_unit_test(canaries_are_spread_out),
	        cmocka_unit_test(one_in_twenty),
	        cmocka_unit_test(always_near_the_share),
	        cmocka_unit_test(sticky_shares),
	        cmocka_unit_test(sticky_is_mixed),
	        cmocka_unit_test(sticky_one_leaves),
	        cmocka_unit_test(sticky_heirs_by_weight),
	        cmocka_unit_test(sticky_many_leave),
	        cmocka_unit_test(sticky_canary_keeps_its_share),
	        cmocka_unit_test(sticky_base),
	        cmocka_unit_test(sticky_one_joins),
	        cmocka_unit_test(version_labels),
	        cmocka_unit_test(unused_versions_are_freed),
	        cmocka_unit_test(candidates_by_version),
	        cmocka_unit_test(any_service),
	};

	return cmocka_run_group_tests_name("schedule", tests, seed_random, NULL);
}
