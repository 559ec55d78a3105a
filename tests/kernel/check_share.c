/* SPDX-License-Identifier: BSD-2-Clause */
/* supervise/share: a source that is always due, beside another one. */
#include <systemd/sd-event.h>
#include <time.h>

#include "base/clock.h"
#include "beds/loop_bed.h"
#include "check/check.h"
#include "supervise/share.h"

#define PERCENT  20
#define SPEND_NS 5000000ll

struct greedy {
	struct share share;
	int64_t spent;
	unsigned int n;
	bool stop;
};

/* Spends some time, whenever it is asked. */
static int spend(sd_event_source *source, void *data)
{
	struct greedy *greedy = data;
	int64_t end = clock_ns(CLOCK_MONOTONIC) + SPEND_NS;

	share_begin(&greedy->share);
	while (clock_ns(CLOCK_MONOTONIC) < end)
		;
	greedy->n++;
	greedy->spent += SPEND_NS;
	if (greedy->stop)
		share_set(&greedy->share, false);
	share_end(&greedy->share);
	return 0;
}

static bool begin(struct greedy *greedy, sd_event *loop)
{
	sd_event_source *source = NULL;

	if (!loop || sd_event_add_defer(loop, &source, spend, greedy) < 0)
		return false;
	share_init(&greedy->share, source, PERCENT);
	share_set(&greedy->share, true);
	return true;
}

/* It gets its share in the long run, and no more: the rest waits. A busy machine gives it less. */
static void greedy_source(void)
{
	_cleanup_loop_bed_ sd_event *loop = loop_bed_new();
	const int64_t start = clock_ns(CLOCK_MONOTONIC);
	struct greedy greedy = {};
	int64_t took;

	CHECK(begin(&greedy, loop));
	CHECK_LOOP(loop, greedy.n == 16);
	took = clock_ns(CLOCK_MONOTONIC) - start;
	share_deinit(&greedy.share);
	CHECK_MSG(greedy.spent * 100 < took * 2 * PERCENT, "spent %ld of %ld ns", greedy.spent,
	          took);
}

/* A source that is disabled stays so after its pause, and one that is enabled goes on. */
static void disabled_meanwhile(void)
{
	_cleanup_loop_bed_ sd_event *loop = loop_bed_new();
	struct greedy greedy = {};
	unsigned int n;

	CHECK(begin(&greedy, loop));
	CHECK_LOOP(loop, greedy.share.timer);
	share_set(&greedy.share, false);
	n = greedy.n;
	CHECK_LOOP(loop, !greedy.share.timer);
	loop_bed_drain(loop);
	CHECK(greedy.n == n);
	greedy.stop = true;
	share_set(&greedy.share, true);
	CHECK_LOOP(loop, greedy.n == n + 1);
	share_deinit(&greedy.share);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(greedy_source),
	        CHECK_CASE(disabled_meanwhile),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
