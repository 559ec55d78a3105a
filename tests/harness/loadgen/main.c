/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loadgen: opens TCP connections, asks one HTTP question (or several) on each, and says of every
 * single connection how it ended and which worker answered it. It exists to prove statements such
 * as "nothing was lost during the reload", so the outcomes are counted, never sampled, and the
 * faults of the client's own machine (no free port, no descriptor) are kept apart.
 *
 * It is not a benchmark of HTTP servers: one thread, one small answer at a time, no TLS, no
 * HTTP/2, no pipelining, addresses only by number.
 */
#include <err.h>
#include <stdlib.h>

#include "connection.h"
#include "options.h"
#include "report.h"
#include "results.h"
#include "run.h"

int main(int argc, char **argv)
{
	static struct connections connections;
	static struct results results;
	struct options options;
	int status;

	options_parse(&options, argc, argv);
	connections_init(&connections, &options, &results);
	run_to_end(&connections);
	if (options.json)
		report_json(&results);
	else if (!options.quiet)
		report_text(&results);
	status = results_failed(&results) ? EXIT_FAILURE : EXIT_SUCCESS;
	if (!connections_deinit(&connections)) {
		warnx("log %s: not all of it could be written", options.log);
		status = EXIT_FAILURE;
	}
	workers_deinit(&results.workers);
	options_deinit(&options);
	return status;
}
