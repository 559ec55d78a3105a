/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/endpoint_life.h"

#define ALL_STATES 3 /* without ENDPOINT_GONE, where nothing follows */

/* What is seen, and what becomes of a candidate, a served and an orphaned endpoint. */
static const struct {
	const char *what;
	struct endpoint_seen seen;
	enum endpoint_life next[ALL_STATES];
} cases[] = {
        {"the only worker",
         {.workers = 1, .listening = 1},
         {ENDPOINT_SERVED, ENDPOINT_SERVED, ENDPOINT_SERVED}},
        {"one of two",
         {.workers = 2, .listening = 1},
         {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"one of two, named",
         {.named = true, .workers = 2, .listening = 1},
         {ENDPOINT_SERVED, ENDPOINT_SERVED, ENDPOINT_SERVED}},
        {"one of two, the other one has closed it",
         {.workers = 2, .listening = 1, .closed = 1, .was_served = true},
         {ENDPOINT_SERVED, ENDPOINT_SERVED, ENDPOINT_SERVED}},
        {"two of three",
         {.workers = 3, .listening = 2},
         {ENDPOINT_SERVED, ENDPOINT_SERVED, ENDPOINT_SERVED}},
        {"one of three, in a reload",
         {.workers = 3, .listening = 1, .reloading = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_SERVED, ENDPOINT_SERVED}},
        {"nobody, and nothing more",
         {.workers = 2, .was_served = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
        {"nobody, all have closed it",
         {.workers = 2, .closed = 2, .was_served = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
        {"nobody, too long",
         {.workers = 2, .was_served = true, .overdue = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"nobody, named, too long",
         {.named = true, .workers = 2, .was_served = true, .overdue = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"nobody, covered",
         {.workers = 2, .was_served = true, .covered = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"nobody, covered, in a reload",
         {.workers = 2, .was_served = true, .covered = true, .reloading = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
        {"nobody, after a reload",
         {.workers = 2, .was_served = true, .dropped = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"nobody, never", {.workers = 2}, {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"no worker at all, too long",
         {.was_served = true, .overdue = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
        {"the first worker starts",
         {.awaited = true},
         {ENDPOINT_ORPHANED, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
        {"one more worker starts",
         {.workers = 1, .awaited = true},
         {ENDPOINT_CANDIDATE, ENDPOINT_GONE, ENDPOINT_GONE}},
        {"one more worker starts, named",
         {.named = true, .workers = 1, .awaited = true},
         {ENDPOINT_ORPHANED, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
        {"a new worker starts in a reload",
         {.workers = 2, .awaited = true, .reloading = true},
         {ENDPOINT_ORPHANED, ENDPOINT_ORPHANED, ENDPOINT_ORPHANED}},
};

static void what_follows(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int from = 0; from < ALL_STATES; from++)
			if (endpoint_life_next(from, &cases[i].seen) != cases[i].next[from])
				fail_msg("%s, from state %d: %d", cases[i].what, from,
				         endpoint_life_next(from, &cases[i].seen));
}

/* Of all that can be seen: @bits gives a value to each member. */
static struct endpoint_seen seen_of(unsigned int bits)
{
	const unsigned int workers = bits >> 7 & 3, listening = (bits >> 9 & 3) % (workers + 1);

	return (struct endpoint_seen){
	        .named = bits & 1,
	        .awaited = bits & 2,
	        .was_served = bits & 4,
	        .covered = bits & 8,
	        .reloading = bits & 16,
	        .dropped = bits & 32,
	        .overdue = bits & 64,
	        .workers = workers,
	        .listening = listening,
	        .closed = (bits >> 11 & 3) % (workers - listening + 1),
	};
}

/* Whatever is seen: an address that is not the service's is never closed as one; where a worker
 * listens, no connection waits; and without a worker or during a reload, no endpoint is removed. */
static void always(void **state)
{
	for (unsigned int bits = 0; bits < 1 << 13; bits++)
		for (int from = 0; from < ALL_STATES; from++) {
			const struct endpoint_seen seen = seen_of(bits);
			const enum endpoint_life next = endpoint_life_next(from, &seen);

			if (from == ENDPOINT_CANDIDATE)
				assert_int_not_equal(next, ENDPOINT_GONE);
			else
				assert_int_not_equal(next, ENDPOINT_CANDIDATE);
			assert_false(seen.listening && next == ENDPOINT_ORPHANED);
			assert_false(!seen.listening && next == ENDPOINT_SERVED);
			assert_false((seen.reloading || !seen.workers) && next == ENDPOINT_GONE);
			if (seen.listening && seen.named)
				assert_int_equal(next, ENDPOINT_SERVED);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_follows),
	        cmocka_unit_test(always),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
