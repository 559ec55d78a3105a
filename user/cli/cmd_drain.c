/* SPDX-License-Identifier: BSD-2-Clause */
/* `drain --wait`: what is shown while it waits, and what it came to. */
#include "cli/cmd_drain.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "service/drain_wait.h"
#include "kern/events.h"

#define DRAIN_TIMEOUT   30 /* seconds, where none is given */
#define DRAIN_BAR_WIDTH 40
#define DRAIN_LINES_S   1 /* between two lines, where there is no terminal */

struct drain_progress {
	bool terminal;
	uint64_t most; /* that was left at any time */
	double told;   /* seconds, of the last line; -1 = none */
	uint64_t last;
};

/* One line that is written over, as long as it changes. */
static void cmd_drain_draw_bar(const struct drain_progress *p, const struct drain_wait_left *left,
                               uint64_t n)
{
	int filled = p->most ? (int)(DRAIN_BAR_WIDTH * (p->most - n) / p->most) : DRAIN_BAR_WIDTH;

	fprintf(stderr, "\r[%.*s%*s] %lu left (%lu handshakes, %lu queued)\033[K", filled,
	        "########################################", DRAIN_BAR_WIDTH - filled, "", n,
	        left->handshakes, left->queued);
}

static void cmd_drain_on_progress(const struct drain_wait_left *left, double seconds, void *data)
{
	struct drain_progress *p = data;
	uint64_t n = left->handshakes + left->active + left->unattributed;

	if (n > p->most)
		p->most = n;
	if (p->terminal) {
		cmd_drain_draw_bar(p, left, n);
	} else if (p->told < 0 || (n != p->last && seconds - p->told >= DRAIN_LINES_S)) {
		fprintf(stderr, "%.0f s: %lu left (%lu handshakes, %lu queued)\n", seconds, n,
		        left->handshakes, left->queued);
		p->told = seconds;
		p->last = n;
	}
}

int cmd_drain_wait(struct invocation *i, struct service *service, const struct observed *observed,
                   const struct slots *slots, struct error *err)
{
	_cleanup_drain_wait_ struct drain_wait_result result = {};
	struct drain_progress progress = {.terminal = isatty(STDERR_FILENO), .told = -1};
	const struct drain_wait_request request = {
	        .slots = *slots,
	        .timeout = i->timeout >= 0 ? (double)i->timeout / NS_PER_S : DRAIN_TIMEOUT,
	        .close_remaining = i->close_remaining,
	        .progress = cmd_drain_on_progress,
	        .data = &progress,
	};
	struct json_object *view;
	int r = drain_wait(service, observed, &request, &result, err);

	if (progress.terminal)
		fputs("\r\033[K", stderr);
	if (r < 0)
		return r;
	if (result.empty)
		events_note_slots(&service->steer, RPD_EVENT_empty, slots, "");
	view = view_empty(service->pins.service, slots, &result);
	(i->json ? view_json : view_empty_text)(stdout, view);
	json_object_put(view);
	return result.empty ? EXIT_OK : EXIT_NOT_EMPTY;
}
