/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/control_request.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "stream/log.h"
#include "supervise/persisted_command.h"
#include "supervise/plan.h"
#include "supervise/reload.h"
#include "supervise/report.h"
#include "supervise/rereading.h"
#include "supervise/shutdown.h"
#include "supervise/slot.h"
#include "supervise/supervisor_request.h"
#include "supervise/worker_listeners.h"
#include "supervise/worker_reports.h"

/* --- reload */

/* Refuses changes of the service itself: a reload changes only its workers. */
static int control_request_check_service(const struct run_config *is,
                                         const struct run_config *other, struct error *err)
{
	if (is->n_listens != other->n_listens || is->pass_sockets != other->pass_sockets ||
	    is->policy != other->policy || is->no_count != other->no_count ||
	    memcmp(is->listens, other->listens, is->n_listens * sizeof(is->listens[0])) != 0)
		return error_set(err, -EINVAL,
		                 "listen, pass-sockets, policy and no-count can't be changed by a "
		                 "reload: stop the service and start it again");
	return 0;
}

static int control_request_check_user(const struct supervisor *sup, const struct run_config *other,
                                      struct error *err)
{
	if (plan_listener_uid(&sup->plan->config) == plan_listener_uid(other))
		return 0;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && worker_listeners_has_any(sup->slots[slot].current))
			return error_set(
			        err, -EINVAL,
			        "user can't be changed by a reload: the kernel lets only "
			        "processes of one user share a port (except with "
			        "pass-sockets), so the new workers could not listen "
			        "beside the old ones: stop the service and start it again");
	return 0;
}

/* The new configuration: the one of the file or, without one, the present one with the command of
 * the request, if it has one. */
static int control_request_make_config(struct supervisor *sup, struct json_object *request,
                                       const struct run_config *of_file, struct run_config *ret,
                                       struct error *err)
{
	struct json_object *argv = json_object_object_get(request, "argv");
	char **copy;
	int r = 0;

	if (of_file)
		r = control_request_check_service(&sup->plan->config, of_file, err);
	if (r == 0 && of_file)
		r = control_request_check_user(sup, of_file, err);
	if (r < 0)
		return r;
	r = run_config_copy(of_file ? of_file : &sup->plan->config, ret);
	if (r < 0 || !argv)
		return r < 0 ? error_set(err, r, "out of memory") : 0;
	if (!json_object_is_type(argv, json_type_array) || json_object_array_length(argv) == 0)
		return error_usage(err, "the command is empty");
	copy = persisted_command_parse(argv);
	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	strv_free(ret->argv);
	ret->argv = copy;
	return 0;
}

/* The ways of the reload: the request's, then the configuration's. */
static int control_request_parse_ways(const struct run_config *config, struct json_object *request,
                                      struct reload_ways *ret, struct error *err)
{
	struct json_object *value;

	*ret = reload_ways_of(config);
	if (json_object_object_get_ex(request, "batch", &value)) {
		int batch = json_object_get_int(value);

		if (batch < 1)
			return error_usage(err, "the batch must be at least 1");
		ret->batch = batch;
	}
	if (json_object_object_get_ex(request, "in_place", &value))
		ret->in_place = json_object_get_boolean(value);
	if (json_object_object_get_ex(request, "keep_going", &value))
		ret->keep_going = json_object_get_boolean(value);
	return 0;
}

static int control_request_make_plan(struct supervisor *sup, struct json_object *request,
                                     const struct run_config *of_file, struct plan **ret,
                                     struct error *err)
{
	struct json_object *value;
	struct run_config config;
	int r;

	run_config_init(&config);
	r = control_request_make_config(sup, request, of_file, &config, err);
	if (r == 0 && json_object_object_get_ex(request, "label", &value))
		snprintf(config.label, sizeof(config.label), "%s", json_object_get_string(value));
	if (r == 0)
		r = run_config_check(&config, err);
	*ret = r == 0 ? plan_new(&config) : NULL;
	if (*ret)
		(*ret)->relabel = sup->plan->relabel ||
		                  json_object_object_get_ex(request, "label", NULL) ||
		                  strcmp(config.label, sup->plan->config.label) != 0;
	run_config_free(&config);
	if (r == 0 && !*ret)
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}

/* @of_file: the configuration as the file has it now; NULL: it is not read. */
static int control_request_begin_reload(struct supervisor *sup, struct json_object *request,
                                        const struct run_config *of_file, struct error *err)
{
	struct plan *plan = NULL;
	struct reload_ways ways = {};
	struct slots slots;
	int r = control_request_make_plan(sup, request, of_file, &plan, err);

	if (r == 0)
		r = control_request_parse_ways(&plan->config, request, &ways, err);
	reload_list_slots(sup, &slots);
	if (r == 0)
		r = worker_reports_open_notify(sup, &plan->config, err);
	if (r == 0 && slots.n == 0)
		r = error_set(
		        err, -EINVAL,
		        "service '%s': all its slots are stopped, so there is nothing to reload",
		        sup->name);
	if (r == 0)
		r = reload_begin(sup, &slots, plan, &ways, err);
	plan_unref(plan);
	return r;
}

/* Goes on with the reload that waited for the file. Clients that wait for it get the error. */
static void control_request_on_file(struct supervisor *sup, struct json_object *request,
                                    const struct run_config *of_file, const struct error *why)
{
	struct error err = *why;

	if (of_file && control_request_begin_reload(sup, request, of_file, &err) == 0)
		return;
	log_line("%s: %s", sup->name, err.text);
	control_answer_reload(sup, err.status, err.text, NULL);
	report_change(sup);
}

/* @client: waits for the reload; or NULL. */
static int control_request_do_reload(struct supervisor *sup, struct control_client *client,
                                     struct json_object *request, struct error *err)
{
	const bool from_file =
	        sup->all->reader && !json_object_object_get_ex(request, "argv", NULL);
	int r = reload_check_idle(sup, err);

	if (r < 0)
		return r;
	if (client)
		control_wait_for(client, CONTROL_WAIT_RELOAD, NULL);
	return from_file ? rereading_begin(sup, request, control_request_on_file, err)
	                 : control_request_begin_reload(sup, request, NULL, err);
}

int control_request_reload(struct supervisor *sup, struct error *err)
{
	return control_request_do_reload(sup, NULL, NULL, err);
}

/* --- slots */

/* The slots that the request names. */
static int control_request_parse_slots(const struct supervisor *sup, struct json_object *request,
                                       struct slots *ret, struct error *err)
{
	struct json_object *list = json_object_object_get(request, "slots");

	ret->n = 0;
	if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0 ||
	    json_object_array_length(list) > RPD_SLOT_MAX)
		return error_usage(err, "the request names no slots");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		int slot = json_object_get_int(json_object_array_get_idx(list, i));

		if (slot < 0 || (unsigned int)slot >= sup->n_slots)
			return error_usage(err,
			                   "there is no slot %d: service '%s' has slots 0 to %u",
			                   slot, sup->name, sup->n_slots - 1);
		ret->at[ret->n++] = slot;
	}
	return 0;
}

/* A reload of some slots with the plan in force. */
static int control_request_do_restart(struct supervisor *sup, struct control_client *client,
                                      struct json_object *request, struct error *err)
{
	struct reload_ways ways;
	struct slots slots;
	int r = control_request_parse_slots(sup, request, &slots, err);

	if (r == 0)
		r = control_request_parse_ways(&sup->plan->config, request, &ways, err);
	if (r < 0)
		return r;
	control_wait_for(client, CONTROL_WAIT_RELOAD, NULL);
	return reload_begin(sup, &slots, sup->plan, &ways, err);
}

static int control_request_do_scale(struct supervisor *sup, struct control_client *client,
                                    struct json_object *request, struct error *err)
{
	struct json_object *value;
	struct slots added = {};
	int n;

	if (!json_object_object_get_ex(request, "workers", &value))
		return error_usage(err, "the request has no number of workers");
	n = json_object_get_int(value);
	if (n < 1 || n > RPD_SLOT_MAX)
		return error_usage(err, "the number of workers must be 1 to %d", RPD_SLOT_MAX);
	for (int slot = sup->n_slots; slot < n; slot++)
		added.at[added.n++] = slot;
	control_wait_for(client, added.n ? CONTROL_WAIT_SETTLED : CONTROL_WAIT_GONE, &added);
	return slot_scale(sup, n, err);
}

static int control_request_do_stop(struct supervisor *sup, struct control_client *client,
                                   struct json_object *request, struct error *err)
{
	struct slots slots;
	int r;

	if (!json_object_object_get(request, "slots")) {
		control_wait_for(client, CONTROL_WAIT_END, NULL);
		if (!sup->stopping) /* a second call would kill the workers */
			shutdown_begin(sup);
		return 0;
	}
	r = control_request_parse_slots(sup, request, &slots, err);
	if (r == 0)
		r = reload_check_idle(sup, err);
	if (r == 0)
		control_wait_for(client, CONTROL_WAIT_GONE, NULL);
	for (size_t i = 0; r == 0 && i < slots.n; i++)
		r = slot_stop(sup, slots.at[i], err);
	if (r == 0) /* workers that were starting leave room for others */
		slot_start_waiting(sup);
	return r;
}

static int control_request_do_start(struct supervisor *sup, struct control_client *client,
                                    struct json_object *request, struct error *err)
{
	struct slots slots;
	int r = control_request_parse_slots(sup, request, &slots, err);

	if (r == 0)
		r = reload_check_idle(sup, err);
	for (size_t i = 0; r == 0 && i < slots.n; i++) {
		const struct worker *current = sup->slots[slots.at[i]].current;

		if (current)
			r = error_set(err, -EEXIST,
			              "slot %u of service '%s' already has a worker (pid %u)",
			              slots.at[i], sup->name, current->pid);
	}
	if (r < 0)
		return r;
	control_wait_for(client, CONTROL_WAIT_SETTLED, &slots);
	for (size_t i = 0; i < slots.n; i++)
		slot_ask_start(sup, slots.at[i]);
	slot_start_waiting(sup);
	return 0;
}

static const struct {
	const char *name;
	control_handler run;
} requests[] = {
        {"reload", control_request_do_reload}, {"restart", control_request_do_restart},
        {"scale", control_request_do_scale},   {"stop", control_request_do_stop},
        {"start", control_request_do_start},
};

int control_request_handle(struct supervisor *sup, struct control_client *client,
                           struct json_object *request, struct error *err)
{
	const char *name = json_object_get_string(json_object_object_get(request, "do"));

	for (size_t i = 0; name && i < ARRAY_SIZE(requests); i++)
		if (!strcmp(name, requests[i].name))
			return requests[i].run(sup, client, request, err);
	return error_set(err, -EOPNOTSUPP,
	                 "the supervisor does not know this request; is it of another version?");
}
