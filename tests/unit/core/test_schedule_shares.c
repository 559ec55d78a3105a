/* SPDX-License-Identifier: BSD-2-Clause */
/* Round-robin rings of core/schedule: the shares of the slots, and their order. */
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/schedule.h"
#include "core/schedule_bed.h"

/* How far the number of a slot's entries among the first m may be from m times its share. The
 * furthest seen in 100,000 random rings is 1.5. */
#define PREFIX_BOUND 2.0

/* How much better than the chosen ring another one may be. The most seen in 100,000 random mixes is
 * 0.2. */
#define BETTER_BOUND 0.3

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

		schedule_bed_even(&s, m->n_slots);
		s.canary_permille = m->canary_permille;
		for (unsigned int i = 0; i < m->n_slots; i++) {
			s.slots[i].weight = m->weights[i];
			s.slots[i].flags = m->canaries & 1 << i ? RPD_SLOT_CANARY : 0;
		}
		schedule_bed_build(&s);
		print_message("mix %td: %u entries, %u ppm\n", m - mixes, s.ring_len,
		              s.rounding_ppm);
		assert_int_equal(s.ring_len, m->ring_len);
		assert_int_equal(s.rounding_ppm, m->rounding_ppm);
		for (unsigned int i = 0; i < m->n_slots; i++)
			assert_int_equal(s.slots[i].entries, m->entries[i]);
	}
}

/* The length of the shortest ring with exact shares. */
static uint64_t exact_len(const struct rpd_schedule *s)
{
	uint64_t sums[2] = {}, factors[2] = {1, 1}, divisor = 0;

	for (unsigned int i = 0; i < s->n_slots; i++)
		sums[schedule_bed_is_canary(&s->slots[i])] += s->slots[i].weight;
	if (s->canary_permille && sums[0] && sums[1]) {
		factors[0] = (1000 - s->canary_permille) * sums[1];
		factors[1] = s->canary_permille * sums[0];
	}
	for (unsigned int i = 0; i < s->n_slots; i++)
		divisor = schedule_bed_divisor(divisor,
		                               factors[schedule_bed_is_canary(&s->slots[i])] *
		                                       s->slots[i].weight);
	return (factors[0] * sums[0] + factors[1] * sums[1]) / divisor;
}

static void exact_if_it_fits(void **state)
{
	unsigned int n_exact = 0;

	for (unsigned int i = 0; i < 200; i++) {
		struct rpd_schedule s;
		uint64_t len;

		schedule_bed_random_mix(&s, 12);
		if (seed_between(0, 1))
			s.canary_permille -= s.canary_permille % 50;
		schedule_bed_build(&s);
		len = exact_len(&s);
		assert_int_equal(s.rounding_ppm == 0, len <= RPD_RING_MAX);
		if (s.rounding_ppm == 0)
			assert_int_equal(s.ring_len, len);
		n_exact += s.rounding_ppm == 0;
	}
	assert_in_range(n_exact, 20, 180);
}

/* Whether @len entries can be distributed so that the relative error of each share is at most
 * @error, and the canary has the nearest number. */
static bool is_possible(const struct rpd_schedule *s, const struct ideal *ideal, unsigned int len,
                        double error)
{
	double low[2] = {}, high[2] = {}, canary = ideal->side_shares[1] * len;
	double smallest = 0, largest = len; /* numbers that the canary may have */

	for (unsigned int i = 0; i < s->n_slots; i++) {
		double entries = ideal->shares[i] * len;
		double least = fmax(1, ceil(entries * (1 - error) - SCHEDULE_BED_EPSILON));
		double most = floor(entries * (1 + error) + SCHEDULE_BED_EPSILON);

		if (least > most)
			return false;
		low[schedule_bed_is_canary(&s->slots[i])] += least;
		high[schedule_bed_is_canary(&s->slots[i])] += most;
	}
	if (s->canary_permille > 0) {
		canary = schedule_bed_clamp(canary, ideal->n[1], len - ideal->n[0]);
		smallest = ceil(canary - 0.5 - SCHEDULE_BED_EPSILON);
		largest = floor(canary + 0.5 + SCHEDULE_BED_EPSILON);
	}
	smallest = fmax(smallest, fmax(low[1], len - high[0]));
	largest = fmin(largest, fmin(high[1], len - low[0]));
	return smallest <= largest;
}

static void rounding_is_near_the_optimum(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		struct rpd_schedule s;
		struct ideal ideal;
		double error;

		schedule_bed_random_mix(&s, i % 10 ? 40 : RPD_SLOT_MAX);
		schedule_bed_build(&s);
		schedule_bed_find_ideal(&s, &ideal);
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

	schedule_bed_even(&s, RPD_SLOT_MAX);
	schedule_bed_build(&s);
	assert_int_equal(s.ring_len, RPD_SLOT_MAX);
	assert_int_equal(s.rounding_ppm, 0);

	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		s.slots[i].weight = seed_between(1, RPD_WEIGHT_MAX);
	schedule_bed_build(&s);
	assert_int_equal(s.n_ring_slots, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		for (unsigned int j = 0; j < RPD_SLOT_MAX; j++)
			if (s.slots[i].weight < s.slots[j].weight)
				assert_true(s.slots[i].entries <= s.slots[j].entries);

	/* the worst case: 0.1 % for 1,023 canaries, one of them with almost no weight */
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++) {
		s.slots[i].weight = i == 1 ? 1 : RPD_WEIGHT_MAX;
		s.slots[i].flags = i > 0 ? RPD_SLOT_CANARY : 0;
	}
	s.canary_permille = 1;
	schedule_bed_build(&s);
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

	schedule_bed_even(&s, 3);
	s.slots[0].weight = 1;
	s.slots[1].weight = 2;
	s.slots[2].weight = 5;
	schedule_bed_build(&s);
	assert_ring(&s, (uint16_t[]){2, 1, 2, 0, 2, 2, 1, 2}, 8);

	/* slots of the same weight keep their order */
	schedule_bed_even(&s, 4);
	s.slots[2].weight = 3 * RPD_WEIGHT_BASE;
	schedule_bed_build(&s);
	assert_ring(&s, (uint16_t[]){0, 2, 1, 2, 3, 2}, 6);

	/* the canary side, slots 1 and 3, has every second entry; 1 has twice as many as 3 */
	schedule_bed_even(&s, 4);
	s.slots[1].flags = s.slots[3].flags = RPD_SLOT_CANARY;
	s.slots[1].weight = 2 * RPD_WEIGHT_BASE;
	s.canary_permille = 500;
	schedule_bed_build(&s);
	assert_ring(&s, (uint16_t[]){0, 1, 2, 3, 0, 1, 2, 1, 0, 3, 2, 1}, 12);
}

static void equal_workers_take_turns(void **state)
{
	static const unsigned int sizes[] = {1, 2, 3, 8, 100, RPD_SLOT_MAX - 1, RPD_SLOT_MAX};

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
		bool with_hole = i % 2 && sizes[i / 2] > 2;
		struct rpd_schedule s;

		schedule_bed_even(&s, sizes[i / 2]);
		for (unsigned int k = 0; k < s.n_slots; k++)
			s.slots[k].weight = 1 + i;
		if (with_hole)
			s.slots[1].state = RPD_SLOT_DRAINING;
		schedule_bed_build(&s);
		assert_int_equal(s.ring_len, sizes[i / 2] - with_hole);
		for (unsigned int k = 0; k < s.ring_len; k++)
			assert_int_equal(s.ring[k], with_hole && k ? k + 1 : k);
	}
}

/* The largest difference between the numbers of entries of @a and @b in any stretch of the ring,
 * also over its end. Over the whole ring the numbers must be equal. */
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

		schedule_bed_random_mix(&s, 16);
		s.n_slots += 4;
		for (unsigned int k = s.n_slots - 4; k < s.n_slots; k++)
			s.slots[k] = s.slots[0];
		schedule_bed_build(&s);
		for (unsigned int a = 0; a < s.n_slots; a++)
			for (unsigned int b = 0; b < a; b++) {
				if (s.slots[a].entries != s.slots[b].entries ||
				    schedule_bed_is_canary(&s.slots[a]) !=
				            schedule_bed_is_canary(&s.slots[b]))
					continue;
				assert_true(largest_difference(&s, a, b) <= 1);
				n_pairs++;
			}
		assert_true(n_pairs > 0);
	}
}

/* The longest and the shortest distance from an entry of a set of slots to the next one, also over
 * the end of the ring. */
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

		schedule_bed_random_mix(&s, 20);
		s.n_slots += 2;
		s.canary_permille = permille;
		s.slots[s.n_slots - 2] = (struct rpd_slot){7, .state = RPD_SLOT_ACTIVE};
		s.slots[s.n_slots - 1] =
		        (struct rpd_slot){7, .state = RPD_SLOT_ACTIVE, .flags = RPD_SLOT_CANARY};
		schedule_bed_build(&s);
		for (unsigned int i = 0; i < s.n_slots; i++) {
			canaries[i] = schedule_bed_is_canary(&s.slots[i]);
			entries += canaries[i] ? s.slots[i].entries : 0;
		}
		find_gaps(&s, canaries, &shortest, &longest);
		assert_int_equal(shortest, s.ring_len / entries);
		assert_int_equal(longest, (s.ring_len + entries - 1) / entries);
		if (permille == 50)
			assert_in_range(longest, 1, 21);
	}
}

/* A slot with 5 % by weight, beside slots of equal weight. */
static void weight_of_one_in_twenty(void **state)
{
	for (unsigned int others = 1; others <= 1000; others += others < 60 ? 1 : 47) {
		bool set[RPD_SLOT_MAX] = {true};
		unsigned int shortest, longest;
		struct rpd_schedule s;

		schedule_bed_even(&s, 1 + others);
		s.slots[0].weight = others;
		for (unsigned int i = 1; i <= others; i++)
			s.slots[i].weight = 19;
		schedule_bed_build(&s);
		find_gaps(&s, set, &shortest, &longest);
		assert_in_range(shortest, 19, 20);
		assert_in_range(longest, 20, 21);
	}
}

/* At any point of the ring each slot has had its share, give or take a few entries. */
static void always_near_the_share(void **state)
{
	double furthest = 0, furthest_canary = 0;

	for (unsigned int i = 0; i < 200; i++) {
		unsigned int had[RPD_SLOT_MAX] = {}, had_canary = 0, canary_entries = 0;
		struct rpd_schedule s;

		schedule_bed_random_mix(&s, i % 10 ? 30 : RPD_SLOT_MAX);
		schedule_bed_build(&s);
		for (unsigned int k = 0; k < s.n_slots; k++)
			if (schedule_bed_is_canary(&s.slots[k]))
				canary_entries += s.slots[k].entries;
		/* it is furthest right before or right after an entry of its own */
		for (unsigned int k = 0; k < s.ring_len; k++) {
			unsigned int slot = s.ring[k];
			double share = (double)s.slots[slot].entries / s.ring_len;
			double canary_share = (double)canary_entries / s.ring_len;

			furthest = fmax(furthest, share * k - had[slot]);
			furthest = fmax(furthest, ++had[slot] - share * (k + 1));
			had_canary += schedule_bed_is_canary(&s.slots[slot]);
			if (s.canary_permille)
				furthest_canary = fmax(furthest_canary,
				                       fabs(had_canary - canary_share * (k + 1)));
		}
	}
	print_message("furthest from the share: slot %.3f, canary %.3f\n", furthest,
	              furthest_canary);
	assert_true(furthest <= PREFIX_BOUND);
	assert_true(furthest_canary <= 0.5 + SCHEDULE_BED_EPSILON);
}

static int seed(void **state)
{
	seed_start("schedules");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(known_mixes),
	        cmocka_unit_test(exact_if_it_fits),
	        cmocka_unit_test(rounding_is_near_the_optimum),
	        cmocka_unit_test(many_slots),
	        cmocka_unit_test(known_rings),
	        cmocka_unit_test(equal_workers_take_turns),
	        cmocka_unit_test(equals_stay_within_one),
	        cmocka_unit_test(canaries_are_spread_out),
	        cmocka_unit_test(weight_of_one_in_twenty),
	        cmocka_unit_test(always_near_the_share),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), seed, NULL);
}
