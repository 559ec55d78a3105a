/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/control_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/request.h"
#include "stream/log.h"
#include "supervise/deployment_request.h"
#include "supervise/plan.h"
#include "supervise/plan_request.h"
#include "supervise/reload.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/postponed.h"
#include "supervise/response_counting.h"
#include "supervise/shutdown.h"
#include "supervise/supervisor_state.h"
#include "supervise/slot.h"
#include "supervise/supervisor_request.h"
#include "supervise/worker_reports.h"

/* --- reload */

/* The ways of the reload: the request's, then the configuration's. */
static struct reload_ways control_request_ways(const struct supervisor *sup,
                                               const struct run_config *config,
                                               const struct request *request)
{
	struct reload_ways ways = reload_ways_of(sup, config);

	if (request->fields & REQUEST_BATCH)
		ways.batch = request->batch;
	if (request->fields & REQUEST_IN_PLACE)
		ways.in_place = request->in_place;
	if (request->fields & REQUEST_KEEP_GOING)
		ways.keep_going = request->keep_going;
	return ways;
}

/* @of_file: the configuration as the file has it now; NULL: it is not read. */
static int control_request_begin_reload(struct supervisor *sup, const struct request *request,
                                        const struct run_config *of_file, struct error *err)
{
	struct plan *plan = NULL;
	struct reload_ways ways;
	struct error why;
	struct slots slots;
	int r = plan_request_make(sup, request, of_file, &plan, err);

	reload_list_slots(sup, &slots);
	if (r == 0)
		r = worker_reports_open_notify(sup, &plan->config, err);
	if (r == 0 && slots.n == 0)
		r = error_set(
		        err, -EINVAL,
		        "service '%s': all its slots are stopped, so there is nothing to reload",
		        sup->name);
	if (r == 0) {
		ways = control_request_ways(sup, &plan->config, request);
		r = reload_begin(sup, &slots, plan, &ways, err);
	}
	if (r == 0 && response_counting_set(sup, plan->config.http, &plan->config.deploy, &why) < 0)
		log_line("%s: %s", sup->name, why.text);
	plan_unref(plan);
	return r;
}

/* Goes on with the reload that waited for the file. Clients that wait for it get the error. */
static void control_request_on_file(struct supervisor *sup, const struct request *request,
                                    const struct run_config *of_file, const struct error *why)
{
	struct error err = {};

	if (why)
		err = *why;
	else if (control_request_begin_reload(sup, request, of_file, &err) == 0)
		return;
	log_line("%s: %s", sup->name, err.text);
	control_answer_reload(sup, err.status, err.text, NULL);
	reload_begin_queued(sup);
	report_change(sup);
}

/* A reload that differs from others in nothing can be that which is queued (reload_queue()). A
 * deployment may take hours: no command waits for its end. */
static bool control_request_may_wait(const struct supervisor *sup, const struct request *request)
{
	return !sup->stopping && !(request->fields & ~REQUEST_ALL) &&
	       (sup->reload ? !sup->reload->events : postponed_is_reload(sup));
}

/* @client: waits for the reload; or NULL. */
static int control_request_do_reload(struct supervisor *sup, struct control_client *client,
                                     const struct request *request, struct error *err)
{
	int r;

	if (client && request->all && supervisor_state_has_done_jobs(sup)) {
		control_wait_for(client, CONTROL_WAIT_SETTLED, NULL);
		return 0;
	}
	if (client && control_request_may_wait(sup, request)) {
		control_wait_for(client, CONTROL_WAIT_QUEUED, NULL);
		reload_queue(sup);
		return 0;
	}
	r = reload_check_idle(sup, err);
	if (r < 0)
		return r;
	if (client)
		control_wait_for(client, CONTROL_WAIT_RELOAD, NULL);
	return sup->all->reader && !request->argv
	               ? postponed_until_read(sup, request, control_request_on_file, err)
	               : control_request_begin_reload(sup, request, NULL, err);
}

int control_request_reload(struct supervisor *sup, struct error *err)
{
	static const struct request plain = {.kind = REQUEST_RELOAD};

	return control_request_do_reload(sup, NULL, &plain, err);
}

/* --- slots */

static int control_request_check_slots(const struct supervisor *sup, const struct slots *slots,
                                       struct error *err)
{
	const unsigned int last = slots->at[slots->n - 1];

	if (last < sup->n_slots)
		return 0;
	return error_usage(err, "there is no slot %u: service '%s' has slots 0 to %u", last,
	                   sup->name, sup->n_slots - 1);
}

/* A reload of some slots with the plan in force. */
static int control_request_restart(struct supervisor *sup, struct control_client *client,
                                   const struct request *request, struct error *err)
{
	const struct reload_ways ways = control_request_ways(sup, &sup->plan->config, request);
	int r = control_request_check_slots(sup, &request->slots, err);

	if (r < 0)
		return r;
	control_wait_for(client, CONTROL_WAIT_RELOAD, NULL);
	return reload_begin(sup, &request->slots, sup->plan, &ways, err);
}

static int control_request_scale(struct supervisor *sup, struct control_client *client,
                                 const struct request *request, struct error *err)
{
	struct slots added = {};
	int r = reload_check_idle(sup, err);

	if (r < 0)
		return r;
	for (unsigned int slot = sup->n_slots; slot < request->workers; slot++)
		added.at[added.n++] = slot;
	control_wait_for(client, added.n ? CONTROL_WAIT_SETTLED : CONTROL_WAIT_GONE, &added);
	return slot_scale(sup, request->workers, err);
}

static int control_request_stop(struct supervisor *sup, struct control_client *client,
                                const struct request *request, struct error *err)
{
	const struct slots *slots = &request->slots;
	int r;

	if (!(request->fields & REQUEST_SLOTS)) {
		control_wait_for(client, CONTROL_WAIT_END, NULL);
		if (!sup->stopping || sup->draining) /* a second call would kill the workers */
			shutdown_begin(sup);
		return 0;
	}
	r = control_request_check_slots(sup, slots, err);
	if (r == 0)
		r = reload_check_idle(sup, err);
	if (r == 0)
		control_wait_for(client, CONTROL_WAIT_GONE, NULL);
	for (size_t i = 0; r == 0 && i < slots->n; i++)
		r = slot_stop(sup, slots->at[i], err);
	if (r == 0) /* workers that were starting leave room for others */
		slot_start_waiting(sup);
	return r;
}

static int control_request_start(struct supervisor *sup, struct control_client *client,
                                 const struct request *request, struct error *err)
{
	const struct slots *slots = &request->slots;
	int r = control_request_check_slots(sup, slots, err);

	if (r == 0)
		r = reload_check_idle(sup, err);
	for (size_t i = 0; r == 0 && i < slots->n; i++) {
		const struct worker *current = sup->slots[slots->at[i]].current;

		if (current)
			r = error_set(err, -EEXIST,
			              "slot %u of service '%s' already has a worker (pid %u)",
			              slots->at[i], sup->name, current->pid);
	}
	if (r < 0)
		return r;
	control_wait_for(client, CONTROL_WAIT_SETTLED, slots);
	for (size_t i = 0; i < slots->n; i++)
		slot_ask_start(sup, slots->at[i]);
	slot_start_waiting(sup);
	return 0;
}

int control_request_handle(struct supervisor *sup, struct control_client *client,
                           const struct request *request, struct error *err)
{
	static const control_handler handlers[] = {
	        [REQUEST_RELOAD] = control_request_do_reload,
	        [REQUEST_RESTART] = control_request_restart,
	        [REQUEST_SCALE] = control_request_scale,
	        [REQUEST_STOP] = control_request_stop,
	        [REQUEST_START] = control_request_start,
	        [REQUEST_DEPLOY] = deployment_request_deploy,
	        [REQUEST_PROMOTE] = deployment_request_promote,
	        [REQUEST_PAUSE] = deployment_request_pause,
	        [REQUEST_ABORT] = deployment_request_abort,
	        [REQUEST_ROLLBACK] = deployment_request_roll_back,
	};

	return handlers[request->kind](sup, client, request, err);
}
