/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/ask_supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/json_build.h"
#include "base/memory.h"
#include "cli/positional.h"
#include "service/service.h"
#include "supervise/control_client.h"
#include "view/answer.h"
#include "view/deployment_view.h"
#include "view/outcome_view.h"

/* Reads the service without its lock, because the supervisor may be asked to stop a service that is
 * locked for long. If that fails, service_open() says why, and rolls back a half-made service. */
static int ask_supervisor_open(const struct invocation *i, struct service *service,
                               struct error *err)
{
	char name[RPD_LABEL_MAX];
	int r;

	if (i->service)
		r = snprintf(name, sizeof(name), "%s", i->service) < (int)sizeof(name) ? 0
		                                                                       : -EINVAL;
	else
		r = service_only_name(name, err);
	if (r == 0)
		r = service_peek(service, name, err);
	if (r == 0)
		return 0;
	service_close(service);
	return service_open(service, i->service, err);
}

int ask_supervisor_find(const struct invocation *i, struct supervised *ret, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = ask_supervisor_open(i, &service, err);
	if (r < 0)
		return r;
	if (!service_is_run(&service))
		return error_set(err, -EINVAL,
		                 "service '%s' was attached: reuseportd did not start its workers "
		                 "and can't start or stop them; that needs a service of "
		                 "`reuseportd run`",
		                 service.pins.service);
	memcpy(ret->service, service.pins.service, sizeof(ret->service));
	ret->workers = service.steer.service->n_workers;
	return 0;
}

struct json_object *ask_supervisor_new_request(const struct invocation *i, const char *what)
{
	struct json_object *request = json_build_new_object();

	json_build_text(request, "do", what);
	if (i->in_place)
		json_build_flag(request, "in_place", true);
	if (i->keep_going)
		json_build_flag(request, "keep_going", true);
	if (i->batch)
		json_build_number(request, "batch", i->batch);
	return request;
}

/* With --json, only the answer goes to standard output. */
static void ask_supervisor_print_line(const char *line, void *data)
{
	const struct invocation *i = data;
	FILE *out = i->json ? stderr : stdout;

	escape_print_line(out, "%s", line);
	fflush(out);
}

/* The text of the request, for free(). A program's arguments need not be UTF-8, so it is json-c's.
 * If memory is short json-c leaves out a part, but not the same one twice. */
static char *ask_supervisor_text(struct json_object *request)
{
	char *text = memory_need(
	        strdup(json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN)));

	if (strcmp(text, json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN)) != 0)
		memory_need(NULL);
	return text;
}

/* Sends @request and releases it. @ret: as of control_client_ask(). */
static int ask_supervisor_ask(const struct invocation *i, const char *service,
                              struct json_object *request, struct json_object **ret,
                              struct error *err)
{
	_cleanup_free_ char *text = ask_supervisor_text(request);

	json_object_put(request);
	return control_client_ask(service, text, ask_supervisor_print_line, (void *)i, ret, err);
}

int ask_supervisor_try_send(const struct invocation *i, const char *service,
                            struct json_object *request, struct error *err)
{
	const int r = ask_supervisor_ask(i, service, request, NULL, err);

	if (r == 0 && i->json)
		outcome_view_print_done(stdout, service);
	return r;
}

int ask_supervisor_send(const struct invocation *i, const char *service,
                        struct json_object *request, struct error *err)
{
	const int r = ask_supervisor_try_send(i, service, request, err);

	return r > 0 ? -ECANCELED : r;
}

int ask_supervisor_for_slots(struct invocation *i, const char *what, struct error *err)
{
	struct json_object *request;
	struct supervised supervised;
	struct slots slots;
	int r = positional_take_slots(i, 0, &slots, err);

	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r < 0)
		return r;
	request = ask_supervisor_new_request(i, what);
	json_build_numbers(request, "slots", slots.at, slots.n);
	return ask_supervisor_send(i, supervised.service, request, err);
}

int ask_supervisor_deploy(const struct invocation *i, const char *service,
                          struct json_object *request, struct json_object **ret, struct error *err)
{
	struct json_object *answer = NULL;
	const int r = ask_supervisor_ask(i, service, request, &answer, err);

	if (r == 0)
		*ret = json_object_get(json_object_object_get(answer, "deployment"));
	json_object_put(answer);
	return r > 0 ? -ECANCELED : r;
}

int ask_supervisor_about_deployment(struct invocation *i, struct json_object *request,
                                    struct error *err)
{
	struct json_object *deployment;
	struct supervised supervised;
	int r = positional_take_service(i, err);

	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r < 0) {
		json_object_put(request);
		return r;
	}
	r = ask_supervisor_deploy(i, supervised.service, request, &deployment, err);
	if (r == 0)
		answer_print(deployment, i->json, deployment_view_print_line);
	return r;
}
