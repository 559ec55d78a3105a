/* SPDX-License-Identifier: BSD-2-Clause */
/* The steering program's decisions, compiled for the host. */

#include <arpa/inet.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "bpf/steer_pick.h"

#define STICKY_LEN 4093

static int seed(void **state)
{
	seed_start("addresses");
	return 0;
}

/* ---- Packets ---- */

static void kinds_of_packets(void **state)
{
	for (unsigned int flags = 0; flags < 256; flags++) {
		/* FIN, SYN, RST and ACK decide; PSH, URG and the bits of ECN don't. */
		const unsigned int what = flags & (0x01 | 0x02 | 0x04 | 0x10);
		const enum pick_kind wanted = what == 0x02   ? PICK_NEW
		                              : what == 0x10 ? PICK_COOKIE
		                                             : PICK_STRAY;

		assert_int_equal(steer_pick_kind((uint8_t)flags), wanted);
	}
}

/* ---- Clients ---- */

static uint32_t hash_text(const char *text)
{
	uint32_t addr[4];

	if (inet_pton(AF_INET, text, addr) == 1)
		return steer_pick_hash_v4(addr[0]);
	assert_int_equal(inet_pton(AF_INET6, text, addr), 1);
	return steer_pick_hash_v6(addr);
}

/* Pinned: with another hash, an upgrade would move every client of a running service. */
static void hashes_are_pinned(void **state)
{
	assert_int_equal(steer_pick_mix(0), 0);
	assert_int_equal(steer_pick_mix(1), 0x514e28b7);
	assert_int_equal(steer_pick_mix(0xffffffff), 0x81f16f39);
	assert_int_equal(hash_text("0.0.0.0"), 0);
}

static void mapped_v4_addresses(void **state)
{
	static const char *const not_mapped[] = {
	        "::1.2.3.4",       "::fffe:1.2.3.4",   "::1:ffff:1.2.3.4",
	        "1::ffff:1.2.3.4", "64:ff9b::1.2.3.4",
	};

	assert_int_equal(hash_text("::ffff:1.2.3.4"), hash_text("1.2.3.4"));
	assert_int_equal(hash_text("::ffff:255.255.255.255"), hash_text("255.255.255.255"));
	for (size_t i = 0; i < ARRAY_SIZE(not_mapped); i++)
		assert_int_not_equal(hash_text(not_mapped[i]), hash_text("1.2.3.4"));
	for (unsigned int i = 0; i < 1000; i++) {
		const uint32_t v4 = seed_word();
		const uint32_t v6[4] = {0, 0, htonl(0xffff), v4};

		assert_int_equal(steer_pick_hash_v6(v6), steer_pick_hash_v4(v4));
	}
}

/* Every word of an address matters. */
static void every_bit_of_v6_counts(void **state)
{
	for (unsigned int bit = 0; bit < 128; bit++) {
		uint32_t a[4], b[4];

		for (unsigned int i = 0; i < 4; i++)
			a[i] = b[i] = seed_word();
		b[bit / 32] ^= 1u << bit % 32;
		assert_int_not_equal(steer_pick_hash_v6(a), steer_pick_hash_v6(b));
	}
}

/* ---- Spread ---- */

static double chi_square(const unsigned int *counts, unsigned int n, unsigned int total)
{
	const double ideal = (double)total / n;
	double sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += (counts[i] - ideal) * (counts[i] - ideal) / ideal;
	return sum;
}

/* Random addresses, and blocks of neighbours. */
static uint32_t address_v4(unsigned int kind, unsigned int i)
{
	switch (kind) {
	case 0:
		return seed_word();
	case 1:
		return htonl(0x0a000000 + i); /* 10.0.0.0 and up */
	default:
		return htonl(0xc0a80001 + (i << 8)); /* every network's first host */
	}
}

static uint32_t hash_v6(unsigned int kind, unsigned int i)
{
	uint32_t a[4] = {htonl(0x20010db8), htonl(i), 0, htonl(1)};

	if (kind == 0)
		for (unsigned int w = 0; w < 4; w++)
			a[w] = seed_word();
	else if (kind == 1)
		a[3] = htonl(i);
	return steer_pick_hash_v6(a);
}

/* Chi-square with 4092 degrees of freedom: mean 4092, standard deviation 90.5. Six of those are
 * never seen by chance. Neighbours may be spread better than chance. */
static void clients_are_spread(void **state)
{
	const unsigned int n = 100 * STICKY_LEN;

	for (unsigned int kind = 0; kind < 6; kind++) {
		static unsigned int counts[STICKY_LEN];
		double got;

		memset(counts, 0, sizeof(counts));
		for (unsigned int i = 0; i < n; i++) {
			const uint32_t hash = kind < 3 ? steer_pick_hash_v4(address_v4(kind, i))
			                               : hash_v6(kind - 3, i);

			counts[steer_pick_sticky(hash, 0) % STICKY_LEN]++;
		}
		got = chi_square(counts, STICKY_LEN, n);
		if (got > 4092 + 6 * 90.5)
			fail_msg("addresses of kind %u: chi-square is %.0f", kind, got);
	}
}

/* The attempts of a client are independent: of the numbers of two attempts, the pairs of the first
 * six bits are equally frequent. Chi-square with 4095 degrees of freedom. */
static void attempts_are_independent(void **state)
{
	const unsigned int n = 100 * 64 * 64;

	for (unsigned int first = 0; first < 8; first++)
		for (unsigned int second = first + 1; second < 8; second++) {
			static unsigned int counts[64 * 64];
			double got;

			memset(counts, 0, sizeof(counts));
			for (unsigned int i = 0; i < n; i++) {
				const uint32_t hash = steer_pick_hash_v4(htonl(0x0a000000 + i));

				counts[steer_pick_sticky(hash, first) >> 26 << 6 |
				       steer_pick_sticky(hash, second) >> 26]++;
			}
			got = chi_square(counts, ARRAY_SIZE(counts), n);
			if (got > 4095 + 6 * 90.5)
				fail_msg("attempts %u and %u: chi-square is %.0f", first, second,
				         got);
		}
}

/* ---- The search ---- */

static void expect_all_places(uint32_t start, uint32_t count)
{
	bool seen[RPD_SLOT_MAX] = {};
	unsigned int n_seen = 0;

	assert_int_equal(steer_pick_scan(start, 0, count), start % count);
	for (uint32_t step = 0; step < PICK_SCATTERED + count; step++) {
		const uint32_t at = steer_pick_scan(start, step, count);

		assert_true(at < count);
		n_seen += !seen[at];
		seen[at] = true;
	}
	assert_int_equal(n_seen, count);
}

static void scan_visits_all_slots(void **state)
{
	for (uint32_t count = 1; count <= RPD_SLOT_MAX; count++) {
		expect_all_places(0, count);
		expect_all_places(seed_word(), count);
		expect_all_places(UINT32_MAX - seed_word() % count, count);
		expect_all_places(UINT32_MAX, count);
	}
}

/* The share of one dead slot of eight goes to the other seven alike. */
static void scan_heirs_are_even(void **state)
{
	const unsigned int n = 70000;
	unsigned int counts[8] = {};

	for (uint32_t start = 0; start < 8 * n; start += 8) { /* place 0 each time */
		uint32_t step = 0;

		while (steer_pick_scan(start, step, 8) == 0)
			step++;
		counts[steer_pick_scan(start, step, 8)]++;
	}
	/* 6 degrees of freedom; 40 has a chance of one to a million. */
	assert_true(chi_square(counts + 1, 7, n) < 40);
}

/* ---- Loads ---- */

static double load_of(const struct pick_load *l)
{
	return (double)(l->connections + 1) / (double)l->weight / (double)l->growth;
}

static struct pick_load any_load(void)
{
	static const unsigned int most[] = {0, 3, 100, 16777216};

	return (struct pick_load){
	        seed_between(0, most[seed_between(0, 3)]), seed_between(1, RPD_WEIGHT_MAX),
	        seed_between(0, 1) ? PICK_GROWN : seed_between(PICK_GROWN / 10, PICK_GROWN)};
}

/* Against the same with fractions. No two loads are so close that a double can't tell, unless they
 * are equal. */
static void less_load_takes_the_turn(void **state)
{
	unsigned int taken = 0, equal = 0;

	for (unsigned int i = 0; i < 200000; i++) {
		const struct pick_load a = any_load();
		const struct pick_load b = i % 10 ? any_load() : a;
		const bool is_kept_young = a.growth < PICK_GROWN && b.growth == PICK_GROWN;
		const double difference = load_of(&b) - load_of(&a);
		const bool got = steer_pick_is_less(&a, &b);

		if (is_kept_young) {
			assert_false(got);
		} else if (!memcmp(&a, &b, sizeof(a))) {
			assert_false(got);
			equal++;
		} else if (fabs(difference) > 1e-12 * load_of(&a)) {
			assert_int_equal(got, difference > 0);
		}
		taken += got;
		assert_false(got && steer_pick_is_less(&b, &a));
	}
	assert_true(taken > 10000 && equal > 10000);
}

static void workers_grow(void **state)
{
	uint64_t before = 0;

	assert_int_equal(steer_pick_growth(0, 1000), PICK_GROWN / 10);
	assert_int_equal(steer_pick_growth(500, 1000), PICK_GROWN / 2);
	assert_int_equal(steer_pick_growth(1000, 1000), PICK_GROWN);
	assert_int_equal(steer_pick_growth(UINT64_MAX, 1000), PICK_GROWN);
	for (uint64_t age = 0; age < 1200; age++) {
		const uint64_t growth = steer_pick_growth(age, 1000);

		assert_true(growth >= before);
		before = growth;
	}
}

static void resets_are_forgotten(void **state)
{
	__u64 resets = 0;

	assert_int_equal(steer_pick_resets(0, 12345), 0);
	for (unsigned int i = 0; i < 100; i++)
		resets = steer_pick_reset(resets, UINT32_MAX);
	assert_int_equal(steer_pick_resets(resets, UINT32_MAX), 100);
	assert_int_equal(steer_pick_resets(resets, UINT32_MAX - 1), 100); /* of another CPU */
	assert_int_equal(steer_pick_resets(resets, UINT32_MAX + 2u), 25);
	resets = steer_pick_reset(resets, UINT32_MAX + 2u);
	assert_int_equal(steer_pick_resets(resets, UINT32_MAX + 2u), 26);
	assert_int_equal(steer_pick_resets(resets, UINT32_MAX + 3u), 13);
	for (unsigned int ticks = 8; ticks < 100; ticks++)
		assert_int_equal(steer_pick_resets(resets, UINT32_MAX + ticks), 0);
}

/* ---- Queues ---- */

/* A queue as the worker sees it: connections come at the end and are accepted from the front. Each
 * has a number of its own. */
struct model {
	uint32_t first, length; /* connections first .. first + length - 1 wait */
	uint32_t moved_at;      /* the last look that saw another first one, or an empty queue */
	uint32_t looked_first;
};

/* The rule, in plain words: stuck if two looks that are more than @after apart, and all looks in
 * between, have seen the same connection at the front. */
static enum pick_busy model_judge(struct model *m, uint32_t now, uint32_t after, uint32_t limit)
{
	if (m->length == 0)
		return PICK_FREE;
	if (m->looked_first != m->first) {
		m->looked_first = m->first;
		m->moved_at = now;
	}
	if (now - m->moved_at > after)
		return PICK_STUCK;
	return m->length > limit ? PICK_FULL : PICK_FREE;
}

/* Random connections, accepts, looks and times, across the wrap of the clock. */
static void queues_are_judged_as_the_rule_says(void **state)
{
	unsigned int seen_as[3] = {};

	for (unsigned int round = 0; round < 2000; round++) {
		struct model m = {.first = 1 + seed_word() / 2};
		const uint32_t after = seed_between(1, 40), limit = seed_between(0, 5);
		uint32_t now = seed_between(0, 1) ? UINT32_MAX - seed_between(0, 500) : seed_word();
		__u64 seen = 0;

		for (unsigned int step = 0; step < 100; step++) {
			const uint32_t coming = seed_between(0, 2), going = seed_between(0, 3);
			const uint32_t accepted = going < m.length ? going : m.length;
			struct pick_queue queue;
			enum pick_busy wanted, got;

			m.length += coming;
			if (seed_between(0, 3) == 0) {
				m.first += accepted;
				m.length -= accepted;
			}
			now += seed_between(0, 20);
			wanted = model_judge(&m, now, after, limit);
			queue = (struct pick_queue){m.length, limit, m.first};
			got = steer_pick_busy(&queue, &seen, now, after);
			assert_int_equal(got, wanted);
			seen_as[got]++;
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(seen_as); i++)
		assert_true(seen_as[i] > 1000);
}

/* The clock of another CPU may be ahead: what it has noted is no reason. */
static void time_of_another_cpu(void **state)
{
	const struct pick_queue queue = {.length = 1, .limit = 9, .first = 7};
	__u64 seen = (__u64)1001 << 32 | 7;

	assert_int_equal(steer_pick_busy(&queue, &seen, 1000, 20), PICK_FREE);
	assert_int_equal(seen >> 32, 1001);
	assert_int_equal(steer_pick_busy(&queue, &seen, 1021, 20), PICK_FREE);
	assert_int_equal(steer_pick_busy(&queue, &seen, 1022, 20), PICK_STUCK);
}

/* The clock wraps twice while the worker is stuck. */
static void stuck_for_a_month(void **state)
{
	const struct pick_queue queue = {.length = 1, .limit = 9, .first = 7};
	__u32 now = 1000;
	__u64 seen = 0;

	assert_int_equal(steer_pick_busy(&queue, &seen, now, RPD_TICKS_MAX), PICK_FREE);
	for (unsigned int days = 3; days <= 30; days += 3) {
		now += 3ull * 86400 * 1000000000 >> RPD_TICK_LOG;
		if (days > 3)
			assert_int_equal(steer_pick_busy(&queue, &seen, now, RPD_TICKS_MAX),
			                 PICK_STUCK);
	}
}

/* The last connection is accepted after the program has read the length: the queue has no first
 * one.
 */
static void queue_that_has_emptied(void **state)
{
	const struct pick_queue full = {.length = 2, .limit = 1};
	const struct pick_queue queue = {.length = 1, .limit = 9};
	__u64 seen = 0;

	assert_int_equal(steer_pick_busy(&queue, &seen, 1000, 20), PICK_FREE);
	assert_int_equal(steer_pick_busy(&full, &seen, 1000, 20), PICK_FREE);
	assert_int_equal(seen, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(kinds_of_packets),
	        cmocka_unit_test(hashes_are_pinned),
	        cmocka_unit_test(mapped_v4_addresses),
	        cmocka_unit_test(every_bit_of_v6_counts),
	        cmocka_unit_test(clients_are_spread),
	        cmocka_unit_test(attempts_are_independent),
	        cmocka_unit_test(scan_visits_all_slots),
	        cmocka_unit_test(scan_heirs_are_even),
	        cmocka_unit_test(queues_are_judged_as_the_rule_says),
	        cmocka_unit_test(time_of_another_cpu),
	        cmocka_unit_test(stuck_for_a_month),
	        cmocka_unit_test(queue_that_has_emptied),
	        cmocka_unit_test(less_load_takes_the_turn),
	        cmocka_unit_test(workers_grow),
	        cmocka_unit_test(resets_are_forgotten),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), seed, NULL);
}
