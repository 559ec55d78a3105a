/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loadgen: opens TCP connections, sends one or several HTTP requests on each, and records how every
 * connection ended and which worker answered it. It exists to prove statements such as "no
 * connection was lost during the reload". So outcomes are counted, never sampled, and faults of the
 * client's machine (no free port, no descriptor) have an outcome of their own.
 *
 * It doesn't benchmark HTTP servers: it has one thread and reads one small answer at a time,
 * without TLS, HTTP/2 and pipelining. Addresses are numeric.
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
		warnx("log %s: could not be written completely", options.log);
		status = EXIT_FAILURE;
	}
	workers_deinit(&results.workers);
	options_deinit(&options);
	return status;
}
