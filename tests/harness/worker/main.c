/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker: the server behind SO_REUSEPORT in the tests. It answers every HTTP request with its id.
 * Options make it misbehave as real servers do: listen without accepting (a black hole), hold the
 * listeners of its siblings open (a pre-fork server), close its listener and continue. It is fast
 * enough for the benchmark.
 *
 * It is not a web server: it sends one small answer for every path, without TLS, and drops a client
 * that doesn't read its answers.
 *
 * Terms: a row is one listener for each address. A lane serves a row: a thread with its own epoll
 * instance, or with a blocking accept(). A plain worker has one row and one lane. With --threads T
 * one process has T rows and T lanes. With --prefork N the parent opens N rows, and each of N
 * children has all rows open and a lane on one of them; with --shared the lanes of all children
 * serve the same row. The main thread of each process only waits for signals, which it passes to
 * its lanes as orders.
 */
#include <err.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "options.h"
#include "prefork.h"
#include "process.h"
#include "rows.h"
#include "signals.h"

static void main_raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "setrlimit");
}

int main(int argc, char **argv)
{
	struct options options;
	struct rows rows;
	int status;

	options_parse(&options, argc, argv);
	signals_init();
	main_raise_fd_limit();
	if (options.uid >= 0 &&
	    setresuid((uid_t)options.uid, (uid_t)options.uid, (uid_t)options.uid) < 0)
		err(EXIT_FAILURE, "uid %d", options.uid);
	rows_open(&rows, &options);
	if (options.mode == MODE_PREFORK)
		status = prefork_serve(&rows);
	else
		status = process_serve(&rows, 0, options.lanes, process_print_ready, NULL);
	rows_deinit(&rows);
	return status;
}
