/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/drain_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define DRAIN_PROGRESS_BAR_WIDTH  40
#define DRAIN_PROGRESS_INTERVAL_S 1 /* between two lines */

void drain_progress_begin(struct drain_progress *progress)
{
	*progress = (struct drain_progress){
	        .terminal = isatty(STDERR_FILENO),
	        .printed_s = -1,
	};
}

static void drain_progress_draw_bar(const struct drain_progress *p,
                                    const struct drain_wait_left *left, uint64_t n)
{
	const int width = DRAIN_PROGRESS_BAR_WIDTH;
	int filled = p->most ? (int)(width * (p->most - n) / p->most) : width;

	fprintf(stderr,
	        "\r[%.*s%*s] %" PRIu64 " left (%" PRIu64 " handshakes, %" PRIu64 " queued)\033[K",
	        filled, "########################################", width - filled, "", n,
	        left->handshakes, left->queued);
}

void drain_progress_print(const struct drain_wait_left *left, double seconds, void *data)
{
	struct drain_progress *p = data;
	uint64_t n = left->handshakes + left->active + left->unattributed;

	if (n > p->most)
		p->most = n;
	if (p->terminal) {
		drain_progress_draw_bar(p, left, n);
	} else if (p->printed_s < 0 ||
	           (n != p->printed && seconds - p->printed_s >= DRAIN_PROGRESS_INTERVAL_S)) {
		fprintf(stderr,
		        "%.0f s: %" PRIu64 " left (%" PRIu64 " handshakes, %" PRIu64 " queued)\n",
		        seconds, n, left->handshakes, left->queued);
		p->printed_s = seconds;
		p->printed = n;
	}
}

void drain_progress_end(const struct drain_progress *progress)
{
	if (progress->terminal)
		fputs("\r\033[K", stderr);
}
