/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker: the server that the tests put behind SO_REUSEPORT. It answers every HTTP request with its
 * own id and can be told to misbehave in the ways that real servers do: to listen without accepting
 * (a black hole), to hold its siblings' listeners open (a pre-fork server), to close its listener
 * and live on. It is fast enough for the benchmark, too.
 *
 * It is no web server: one small answer for every path, no TLS, and a client that lets its answers
 * pile up unread is dropped.
 *
 * Words. A row is one listener for each address. A lane is what serves a row: a thread with an
 * epoll instance (or a blocking accept()) of its own. A plain worker has one row and one lane;
 * --threads T has T of each in one process; --prefork N has N rows, opened by the parent, and N
 * children, each with all rows open and a lane on one of them; with --shared all children have
 * their lane on the same row. The main thread of each process only waits for signals and passes
 * them to its lanes as orders.
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
