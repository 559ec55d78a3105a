/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/ask_supervisor.h"
#include "cli/positional.h"
#include "service/service.h"
#include "service/service_supervisor.h"
#include "supervise/control_client.h"
#include "supervise/supervisors.h"
#include "view/outcome_view.h"

/* How long a supervisor may take from closing its control socket to its end. */
#define END_MS 10000

/* The supervisor of the service is dead: supervises its workers to stop them. */
static int cmd_stop_orphans(const struct invocation *i, const struct supervised *supervised,
                            struct error *err)
{
	static char *const nothing[] = {"true", NULL};
	struct run_config config;
	struct supervisor_request request = {.config = &config, .self = nothing, .stop = true};
	int r;

	run_config_init(&config);
	snprintf(config.service, sizeof(config.service), "%s", supervised->service);
	config.workers = supervised->workers;
	config.argv = (char **)nothing;
	r = supervisors_run(&request, 1, NULL, err);
	config.argv = NULL;
	run_config_free(&config);
	if (r < 0)
		return r;
	if (i->json)
		outcome_view_print_done(stdout, supervised->service);
	return 0;
}

/*
 * The supervisor has closed the connection without an answer. Either it has ended by itself, which
 * takes a while after it has closed its sockets. Or it was killed, and the workers are left for
 * this command to stop; it may even have been killed before the request, because its children have
 * its socket open until they execute the worker's program.
 */
static int cmd_stop_rest(const struct invocation *i, struct supervised *supervised,
                         struct error *err)
{
	for (;;) {
		_cleanup_service_ struct service service;
		_cleanup_close_ int supervisor = -1;
		struct error ignored;
		struct pollfd end;
		int r;

		service_init(&service);
		r = service_try_open(&service, supervised->service, &ignored);
		if (r == SERVICE_NONE)
			return 0;
		if (r != SERVICE_OPEN)
			return -ECANCELED; /* @err has the reason */
		supervised->workers = service.steer.service->n_workers;
		supervisor = service_supervisor_open(&service);
		service_close(&service); /* the supervisor may need the lock to end */
		if (supervisor < 0)
			return cmd_stop_orphans(i, supervised, err);
		end = (struct pollfd){.fd = supervisor, .events = POLLIN};
		if (poll(&end, 1, END_MS) <= 0)
			return -ECANCELED;
	}
}

/* The pins can't be opened, but a supervisor may live and end its workers. */
static bool cmd_stop_unreadable(struct invocation *i)
{
	struct error ignored;

	return ask_supervisor_try_send(i, i->service, ask_supervisor_new_request(i, "stop"),
	                               &ignored) == 0;
}

static int cmd_stop_service(struct invocation *i, struct error *err)
{
	struct supervised supervised;
	int r = positional_take_service(i, err);

	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r < 0)
		return i->service && cmd_stop_unreadable(i) ? 0 : r;
	r = ask_supervisor_try_send(i, supervised.service, ask_supervisor_new_request(i, "stop"),
	                            err);
	if (r == CONTROL_SUPERVISOR_ENDED)
		return cmd_stop_rest(i, &supervised, err);
	return r == CONTROL_NO_SUPERVISOR ? cmd_stop_orphans(i, &supervised, err) : r;
}

int cmd_stop(struct invocation *i, struct error *err)
{
	if (i->n_args > 1 || (i->n_args && slots_is_list(i->args[0])))
		return ask_supervisor_for_slots(i, "stop", err);
	return cmd_stop_service(i, err);
}
