/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "cli/ask_supervisor.h"
#include "cli/positional.h"
#include "service/run_dir.h"
#include "stream/log_reopen.h"
#include "view/outcome_view.h"

/* A log process that has died is started again within this time, if a supervisor lives. */
#define START_NS (2 * NS_PER_S)

static int cmd_reopen_logs_ask(const char *path, struct error *err)
{
	const int64_t end = clock_ns(CLOCK_MONOTONIC) + START_NS;
	const struct timespec pause = {.tv_nsec = 10000000};
	int r;

	while ((r = log_reopen_ask(path, err)) < 0 &&
	       (r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET) &&
	       clock_ns(CLOCK_MONOTONIC) < end)
		nanosleep(&pause, NULL);
	return r;
}

int cmd_reopen_logs(struct invocation *i, struct error *err)
{
	struct supervised supervised;
	char path[PATH_MAX];
	int r = positional_take_service(i, err);

	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r < 0)
		return r;
	run_dir_path(supervised.service, LOG_REOPEN_SOCKET, path, sizeof(path));
	r = cmd_reopen_logs_ask(path, err);
	if (r < 0)
		return r;
	if (i->json)
		outcome_view_print_done(stdout, supervised.service);
	return 0;
}
