/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands that a service's supervisor carries out. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cli/show.h"
#include "supervise/control.h"
#include "supervise/supervisor.h"
#include "kern/pins.h"

/* From when a supervisor has closed its sockets to its end. */
#define END_MS 10000

static void cmd_supervise_print_line(const char *line, void *data)
{
	const struct invocation *i = data;

	fprintf(i->json ? stderr : stdout, "%s\n", line);
	fflush(i->json ? stderr : stdout);
}

/* The service that is named, or the only one; it must be one that is run. */
static int cmd_supervise_find_service(const struct invocation *i, char ret[RPD_LABEL_MAX],
                                      unsigned int *ret_workers, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, i->service, err);
	if (r < 0)
		return r;
	if (!service_is_run(&service))
		return error_set(err, -EINVAL,
		                 "service '%s' was attached: its workers are not reuseportd's to "
		                 "start or stop; `reuseportd run` is for that",
		                 service.pins.service);
	memcpy(ret, service.pins.service, RPD_LABEL_MAX);
	*ret_workers = service.steer.service->n_workers;
	return 0;
}

/* Takes @request over. */
static int cmd_supervise_ask(struct invocation *i, const char *service, struct json_object *request,
                             struct error *err)
{
	int r = control_ask(service,
	                    json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN),
	                    cmd_supervise_print_line, i, err);

	json_object_put(request);
	if (r == 0 && i->json)
		printf("{\"service\": \"%s\", \"status\": 0}\n", service);
	return r;
}

static struct json_object *cmd_supervise_request_new(const char *what)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "do", json_object_new_string(what));
	return request;
}

static void cmd_supervise_add_slots(struct json_object *request, const struct slots *slots)
{
	struct json_object *list = json_object_new_array();

	for (size_t n = 0; n < slots->n; n++)
		json_object_array_add(list, json_object_new_int(slots->at[n]));
	json_object_object_add(request, "slots", list);
}

static void cmd_supervise_add_ways(struct json_object *request, const struct invocation *i)
{
	if (i->in_place)
		json_object_object_add(request, "in_place", json_object_new_boolean(true));
	if (i->keep_going)
		json_object_object_add(request, "keep_going", json_object_new_boolean(true));
	if (i->batch)
		json_object_object_add(request, "batch", json_object_new_int(i->batch));
}

static int cmd_supervise_reload(struct invocation *i, const char *service, struct error *err)
{
	struct json_object *request = cmd_supervise_request_new("reload"), *argv;

	cmd_supervise_add_ways(request, i);
	if (i->relabel)
		json_object_object_add(request, "label", json_object_new_string(i->relabel));
	if (i->run.command) {
		argv = json_object_new_array();
		for (char **word = i->run.command; *word; word++)
			json_object_array_add(argv, json_object_new_string(*word));
		json_object_object_add(request, "argv", argv);
	}
	return cmd_supervise_ask(i, service, request, err);
}

static bool cmd_supervise_is_run_by(const char *name, long supervisor)
{
	_cleanup_service_ struct service service;
	struct error ignored;

	service_init(&service);
	return service_open(&service, name, &ignored) == 0 && service_is_run(&service) &&
	       service_supervisor(&service) == supervisor;
}

/* One that fails doesn't keep us from the others. */
static int cmd_supervise_reload_all(struct invocation *i, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	unsigned int found = 0, failed = 0;
	size_t n = 0;
	int r = pins_list(&names, &n, err);

	if (r < 0)
		return r;
	for (size_t s = 0; s < n; s++) {
		if (!cmd_supervise_is_run_by(names[s], i->supervisor))
			continue;
		found++;
		if (cmd_supervise_reload(i, names[s], err) == 0)
			continue;
		failed++;
		fprintf(stderr, "%s: %s\n", names[s], err->text);
	}
	if (!found)
		return error_set(err, -ENOENT, "process %u runs no service", i->supervisor);
	if (!failed)
		return 0;
	return error_set(err, -ECANCELED, "%u of %u services were not reloaded", failed, found);
}

int cmd_reload(struct invocation *i, struct error *err)
{
	char service[RPD_LABEL_MAX];
	unsigned int workers;
	int r;

	if (i->supervisor) {
		if (i->service || i->n_args)
			return error_usage(err, "name a service, or --supervisor");
		return cmd_supervise_reload_all(i, err);
	}
	r = take_service_argument(i, err);
	if (r == 0)
		r = cmd_supervise_find_service(i, service, &workers, err);
	return r < 0 ? r : cmd_supervise_reload(i, service, err);
}

static int cmd_supervise_slots_command(struct invocation *i, const char *what, struct error *err)
{
	char service[RPD_LABEL_MAX];
	struct json_object *request;
	unsigned int workers;
	struct slots slots;
	int r = take_slot_arguments(i, 0, &slots, err);

	if (r == 0)
		r = cmd_supervise_find_service(i, service, &workers, err);
	if (r < 0)
		return r;
	request = cmd_supervise_request_new(what);
	cmd_supervise_add_slots(request, &slots);
	cmd_supervise_add_ways(request, i);
	return cmd_supervise_ask(i, service, request, err);
}

int cmd_restart(struct invocation *i, struct error *err)
{
	return cmd_supervise_slots_command(i, "restart", err);
}

int cmd_start(struct invocation *i, struct error *err)
{
	return cmd_supervise_slots_command(i, "start", err);
}

int cmd_scale(struct invocation *i, struct error *err)
{
	char service[RPD_LABEL_MAX];
	struct json_object *request;
	unsigned int workers;
	long n;
	int r = 0;

	if (i->n_args == 0)
		return error_usage(err, "name the number of workers");
	if (parse_long(i->args[--i->n_args], 1, RPD_SLOT_MAX, &n) < 0)
		return error_usage(err, "'%s' is no number of workers: 1 to %d", i->args[i->n_args],
		                   RPD_SLOT_MAX);
	r = take_service_argument(i, err);
	if (r == 0)
		r = cmd_supervise_find_service(i, service, &workers, err);
	if (r < 0)
		return r;
	request = cmd_supervise_request_new("scale");
	json_object_object_add(request, "workers", json_object_new_int(n));
	return cmd_supervise_ask(i, service, request, err);
}

/* Of a service whose supervisor is dead we are the supervisor that stops it. */
static int cmd_supervise_stop_orphans(struct invocation *i, const char *service,
                                      unsigned int workers, struct error *err)
{
	static char *const nothing[] = {"true", NULL};
	struct run_config config;
	struct supervisor_request request = {.config = &config, .self = nothing, .stop = true};
	int r;

	run_config_init(&config);
	snprintf(config.service, sizeof(config.service), "%s", service);
	config.workers = workers;
	config.argv = (char **)nothing;
	r = supervisor_run(&request, 1, err);
	config.argv = NULL;
	run_config_free(&config);
	if (r >= 0 && i->json)
		printf("{\"service\": \"%s\", \"status\": 0}\n", service);
	return r < 0 ? r : 0;
}

/* The supervisor has ended without an answer: it was killed, so that the rest is for us to do; or
 * just before we asked, as children of it that aren't executed yet have its socket open; or it has
 * ended by itself. It closes its sockets before it is gone. */
static int cmd_supervise_stop_rest(struct invocation *i, const char *name, struct error *err)
{
	for (;;) {
		_cleanup_service_ struct service service;
		_cleanup_close_ int supervisor = -1;
		unsigned int workers;
		struct error ignored;
		struct pollfd end;
		int r;

		service_init(&service);
		r = service_open(&service, name, &ignored);
		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return -EPIPE; /* as @err has it */
		workers = service.steer.service->n_workers;
		supervisor = service_open_supervisor(&service);
		service_close(&service); /* it may need the lock to come to its end */
		if (supervisor < 0)
			return cmd_supervise_stop_orphans(i, name, workers, err);
		end = (struct pollfd){.fd = supervisor, .events = POLLIN};
		if (poll(&end, 1, END_MS) <= 0)
			return -EPIPE;
	}
}

int cmd_stop(struct invocation *i, struct error *err)
{
	char service[RPD_LABEL_MAX] = "";
	unsigned int workers;
	int r;

	if (i->n_args > 1 || (i->n_args && slots_is_list(i->args[0])))
		return cmd_supervise_slots_command(i, "stop", err);
	r = take_service_argument(i, err);
	if (r == 0)
		r = cmd_supervise_find_service(i, service, &workers, err);
	if (r == 0)
		r = cmd_supervise_ask(i, service, cmd_supervise_request_new("stop"), err);
	if (r == -EPIPE && service[0])
		return cmd_supervise_stop_rest(i, service, err);
	return r == -ENOENT && service[0] ? cmd_supervise_stop_orphans(i, service, workers, err)
	                                  : r;
}
