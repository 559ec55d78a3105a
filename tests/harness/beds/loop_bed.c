/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/loop_bed.h"

#define ROUND_US 20000 /* how often a condition is polled that no event of the loop reports */

sd_event *loop_bed_new(void)
{
	sd_event *loop = NULL;

	CHECK(sd_event_new(&loop) >= 0);
	return loop;
}

void loop_bed_free(sd_event **loop)
{
	sd_event_unref(*loop);
}

void loop_bed_run(sd_event *loop)
{
	sd_event_run(loop, ROUND_US);
}

void loop_bed_drain(sd_event *loop)
{
	while (sd_event_run(loop, 0) > 0)
		;
}
