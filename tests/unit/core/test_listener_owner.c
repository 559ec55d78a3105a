/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/listener_owner.h"

/* Processes 10, 20, ... started at 100, 200, ... */
#define HOLDER(tens, how)                                                                          \
	{                                                                                          \
		.id = {(tens)*10, (tens)*100}, .evidence = EVIDENCE_##how                          \
	}
#define WAS(tens, how)                                                                             \
	{                                                                                          \
		.pid = (tens)*10, .start_time = (tens)*100, .evidence = EVIDENCE_##how             \
	}

static void owner_of_a_listener(void **state)
{
	static const struct {
		const char *what;
		struct rpd_worker was;
		struct holder holders[4];
		size_t n;
		uint32_t pid; /* 0 = no process */
	} cases[] = {
	        {"no holder, was polled", WAS(2, EPOLL), {}, 0, 0},
	        {"no holder, was held", WAS(2, HOLDS), {}, 0, 0},

	        {"still polls", WAS(2, EPOLL), {HOLDER(2, EPOLL)}, 1, 20},
	        {"still accepts", WAS(2, ACCEPTS), {HOLDER(2, ACCEPTS)}, 1, 20},
	        {"still holds", WAS(2, HOLDS), {HOLDER(2, HOLDS)}, 1, 20},
	        {"stopped polling for now", WAS(2, EPOLL), {HOLDER(2, HOLDS)}, 1, 20},
	        {"stopped polling, among siblings",
	         WAS(2, EPOLL),
	         {HOLDER(1, HOLDS), HOLDER(2, HOLDS), HOLDER(3, HOLDS)},
	         3,
	         20},

	        {"another polls now", WAS(2, EPOLL), {HOLDER(2, HOLDS), HOLDER(3, EPOLL)}, 2, 30},
	        {"an older one polls now",
	         WAS(2, HOLDS),
	         {HOLDER(1, EPOLL), HOLDER(2, HOLDS)},
	         2,
	         10},
	        {"another accepts now",
	         WAS(2, HOLDS),
	         {HOLDER(1, ACCEPTS), HOLDER(2, HOLDS)},
	         2,
	         10},
	        {"polling beats accepting",
	         WAS(2, ACCEPTS),
	         {HOLDER(2, ACCEPTS), HOLDER(3, EPOLL)},
	         2,
	         30},
	        {"it is gone, another polls", WAS(2, EPOLL), {HOLDER(1, EPOLL)}, 1, 10},

	        {"a black hole", WAS(2, EPOLL), {HOLDER(1, HOLDS)}, 1, 0},
	        {"a black hole, younger sibling", WAS(2, EPOLL), {HOLDER(3, HOLDS)}, 1, 0},
	        {"left to the parent", WAS(2, HOLDS), {HOLDER(1, HOLDS)}, 1, 0},
	        {"left to the parent, was accepting", WAS(2, ACCEPTS), {HOLDER(1, HOLDS)}, 1, 0},

	        {"successor", WAS(2, HOLDS), {HOLDER(1, HOLDS), HOLDER(3, HOLDS)}, 2, 30},
	        {"successor of one that accepted", WAS(2, ACCEPTS), {HOLDER(3, HOLDS)}, 1, 30},
	        {"youngest successor",
	         WAS(2, HOLDS),
	         {HOLDER(3, HOLDS), HOLDER(5, HOLDS), HOLDER(4, HOLDS)},
	         3,
	         50},

	        {"its pid was given away, to a younger one",
	         WAS(2, HOLDS),
	         {{.id = {20, 300}, .evidence = EVIDENCE_HOLDS}},
	         1,
	         20},
	        {"its pid was given away, a black hole",
	         WAS(2, EPOLL),
	         {{.id = {20, 300}, .evidence = EVIDENCE_HOLDS}},
	         1,
	         0},
	        {"same age is not younger",
	         WAS(2, HOLDS),
	         {{.id = {21, 200}, .evidence = EVIDENCE_HOLDS}},
	         1,
	         0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct holder *now =
		        listener_owner_find_current(&cases[i].was, cases[i].holders, cases[i].n);

		if ((now ? now->id.pid : 0) != cases[i].pid)
			fail_msg("%s: %u", cases[i].what, now ? now->id.pid : 0);
		assert_true(!now ||
		            (now >= cases[i].holders && now < cases[i].holders + cases[i].n));
	}
}

/* The order of the holders does not matter. */
static void order_of_holders_does_not_matter(void **state)
{
	const struct holder all[] = {HOLDER(1, HOLDS), HOLDER(3, HOLDS), HOLDER(4, HOLDS)};
	const struct rpd_worker was = WAS(2, HOLDS);

	for (unsigned int first = 0; first < 3; first++) {
		const struct holder turned[] = {all[first], all[(first + 1) % 3],
		                                all[(first + 2) % 3]};

		assert_int_equal(listener_owner_find_current(&was, turned, 3)->id.pid, 40);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(owner_of_a_listener),
	        cmocka_unit_test(order_of_holders_does_not_matter),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
