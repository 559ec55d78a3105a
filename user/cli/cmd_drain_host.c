/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/drain_progress.h"
#include "service/drain_mark.h"
#include "view/answer.h"
#include "view/host_drain_view.h"

/* The defaults, in seconds. */
#define LAME_DUCK_S 10
#define TIMEOUT_S   300

static double cmd_drain_host_seconds(int64_t time, double otherwise)
{
	return time >= 0 ? (double)time / NS_PER_S : otherwise;
}

int cmd_drain_host(struct invocation *i, struct error *err)
{
	_cleanup_host_drain_ struct host_drain drain = {};
	struct drain_progress progress;
	struct host_drain_request request = {
	        .timeout = cmd_drain_host_seconds(i->timeout, TIMEOUT_S),
	        .close_remaining = i->close_remaining,
	        .progress = drain_progress_print,
	        .data = &progress,
	};
	int changed, r;

	if (i->n_args)
		return error_usage(err, "`drain-host` takes no argument");
	changed = drain_mark_set(NULL, err);
	if (changed < 0)
		return changed;
	fputs("the host is draining: /ready answers 503\n", stderr);
	request.since = drain_mark_read(NULL);
	r = host_drain_lame_duck(request.since, cmd_drain_host_seconds(i->lame_duck, LAME_DUCK_S),
	                         err);
	if (r < 0)
		return r;
	drain_progress_begin(&progress);
	r = host_drain_wait(&request, &drain, err);
	drain_progress_end(&progress);
	if (r < 0)
		return r;
	answer_print(host_drain_view_new(request.since, changed == DRAIN_MARK_CHANGED, &drain),
	             i->json, host_drain_view_print);
	return drain.empty ? EXIT_OK : EXIT_NOT_EMPTY;
}
