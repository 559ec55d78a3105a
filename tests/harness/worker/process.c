/* SPDX-License-Identifier: BSD-2-Clause */
#include "process.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lane.h"
#include "signals.h"

int process_serve(struct rows *rows, unsigned first, unsigned n,
                  void (*announce)(const struct rows *rows, void *data), void *data)
{
	_cleanup_free_ struct lane **lanes = calloc(n, sizeof(struct lane *));
	unsigned order = 0;

	if (!lanes)
		err(EXIT_FAILURE, "lanes");
	for (unsigned i = 0; i < n; i++)
		lanes[i] = lane_start(rows->options, first + i, rows_get(rows, first + i));
	announce(rows, data);
	do {
		int signal = signals_wait();

		if (signal == SIGCHLD)
			continue;
		order = signals_order(signal);
		if (order & (ORDER_CLOSE | ORDER_TERMINATE))
			rows_close_others(rows, first, n);
		for (unsigned i = 0; i < n; i++)
			lane_order(lanes[i], order);
	} while (order != ORDER_TERMINATE);
	for (unsigned i = 0; i < n; i++)
		lane_join(lanes[i]);
	return EXIT_SUCCESS;
}

void process_print_ready(const struct rows *rows, void *unused)
{
	printf("ready %d %u\n", getpid(), rows->port);
	fflush(stdout);
}
