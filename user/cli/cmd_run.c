/* SPDX-License-Identifier: BSD-2-Clause */
/* `run`: reads the configuration from the command line or a file, and starts the supervisor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/strv.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/exporter_process.h"
#include "service/service.h"
#include "supervise/supervisors.h"

/* Whether one of the services exists. If its supervisor is dead, this process will take it over. */
static bool cmd_run_finds_service(const struct load_result *loaded)
{
	for (size_t c = 0; c < loaded->n; c++) {
		_cleanup_service_ struct service service;
		struct error ignored;

		service_init(&service);
		if (service_peek(&service, loaded->configs[c].service, &ignored) == 0 &&
		    service_is_run(&service))
			return true;
	}
	return false;
}

static int cmd_run_bind_metrics(struct exporter_process *exporter, const struct invocation *i,
                                const struct load_result *loaded, struct error *err)
{
	if (!i->listen.family)
		return 0;
	if (!cmd_run_finds_service(loaded))
		return exporter_process_bind(exporter, &i->listen, err);
	exporter_process_bind_later(exporter, &i->listen);
	return 0;
}

int cmd_run(struct invocation *i, struct error *err)
{
	_cleanup_exporter_process_ struct exporter_process exporter;
	const struct supervisors_companion companion = {
	        .start = exporter_process_start,
	        .kill = exporter_process_kill,
	        .data = &exporter,
	};
	_cleanup_load_result_ struct load_result loaded = {};
	_cleanup_free_ struct supervisor_request *requests = NULL;
	_cleanup_strv_ char **self = NULL;
	int r;

	exporter_process_init(&exporter);
	i->run.keep_faulty = true;
	r = args_load(&i->run, &loaded, err);
	/* One service that can't be started does not keep the others from it. */
	if (r == 0 && load_all_are_faulty(&loaded) && !cmd_run_finds_service(&loaded)) {
		load_free(&loaded);
		i->run.keep_faulty = false;
		r = args_load(&i->run, &loaded, err);
	}
	problems_print(stderr, &loaded.problems, false, true);
	if (r == 0)
		r = command_line_read_own(&self, err);
	if (r == 0)
		r = cmd_run_bind_metrics(&exporter, i, &loaded, err);
	if (r < 0)
		return r;
	requests = calloc(loaded.n, sizeof(*requests));
	if (!requests)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t c = 0; c < loaded.n; c++)
		requests[c] = (struct supervisor_request){
		        .config = &loaded.configs[c],
		        .args = i->run.file ? &i->run : NULL,
		        .loaded = &loaded,
		        .self = self,
		};
	return supervisors_run(requests, loaded.n, &companion, err);
}
