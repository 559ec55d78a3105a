/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/look.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "base/memory.h"
#include "kern/pins.h"
#include "service/deployment_file.h"
#include "service/service.h"
#include "service/service_each.h"
#include "view/escape_view.h"
#include "view/event_view.h"
#include "view/list_read.h"
#include "view/list_view.h"
#include "view/metrics.h"
#include "view/ready_view.h"
#include "view/service_status.h"
#include "view/status_view.h"

/* Load balancers wait for an answer only briefly. */
#define READY_PATIENCE_MS 50

void look_free(struct look *look)
{
	free(look->text);
	json_object_put(look->json);
	*look = (struct look){};
}

void look_set_error(struct look *look, unsigned int status, const char *text)
{
	look_free(look);
	look->status = status;
	look->json = json_build_new_object();
	json_build_text(look->json, "error", text);
}

static void look_set_none(struct look *look, const struct error *why)
{
	look_set_error(look, MHD_HTTP_NOT_FOUND, why->text);
	look->no_service = true;
}

/* --- /metrics */

static int look_read_metrics(const struct look_settings *settings, struct json_object *view,
                             struct error *err)
{
	const char *service = settings->metrics_of;
	int r;

	if (!service)
		return service_each(list_read_add_status, view, settings->patience_ms, err);
	/* A scrape that fails is more useful than one that waits for another process. */
	pins_set_waiting(pins_never_wait, settings->patience_ms);
	r = list_read_status(service, view, err);
	if (r == SERVICE_NONE) { /* reuseportd_up is 0 then */
		list_view_add_unreadable(view, service, err->text);
		return 0;
	}
	return r;
}

void look_metrics(const struct look_settings *settings, const char *service, struct look *ret)
{
	struct json_object *view = list_view_new();
	struct error err = {};
	FILE *out = NULL;
	int r = look_read_metrics(settings, view, &err);

	if (r == 0) {
		out = open_memstream(&ret->text, &ret->n);
		r = out ? metrics_print(out, view, &settings->min_live, &err)
		        : error_set(&err, -1, "out of memory");
	}
	if (out && !memory_close_text(out, &ret->text))
		r = error_set(&err, -1, "out of memory");
	json_object_put(view);
	ret->status = MHD_HTTP_OK;
	if (r != 0)
		look_set_error(ret, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
}

/* --- /text */

static void look_print_text(FILE *out, struct json_object *services)
{
	const size_t n = json_object_array_length(services);

	escape_view(services);
	if (n == 0)
		fputs("no service is steered\n", out);
	for (size_t i = 0; i < n; i++) {
		struct json_object *row = json_object_array_get_idx(services, i);
		const char *error = json_read_text(row, "error");

		if (i)
			fputs("\n\n", out);
		if (error)
			fprintf(out, "service %s: %s\n", json_read_text(row, "service"), error);
		else
			status_view_print(out, row);
	}
}

void look_text(const struct look_settings *settings, const char *service, struct look *ret)
{
	struct json_object *view = list_view_new();
	struct error err = {};
	FILE *out = NULL;
	int r = service_each(list_read_add_status, view, settings->patience_ms, &err);

	if (r >= 0) {
		out = memory_need(open_memstream(&ret->text, &ret->n));
		look_print_text(out, view);
		memory_need(memory_close_text(out, &ret->text));
	}
	json_object_put(view);
	ret->status = MHD_HTTP_OK;
	if (r < 0)
		look_set_error(ret, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
}

/* --- /api/v1/services */

void look_services(const struct look_settings *settings, const char *service, struct look *ret)
{
	struct json_object *view = json_build_new_object(), *services = list_view_new();
	struct utsname host = {};
	struct error err = {};
	int r = service_each(list_read_add, services, settings->patience_ms, &err);

	uname(&host);
	json_build_time(view, "time", clock_ns(CLOCK_REALTIME));
	json_build_text(view, "host", host.nodename);
	json_build_text(view, "reuseportd", REUSEPORTD_VERSION);
	json_build_flag(view, "admin", settings->admin);
	json_build_value(view, "services", services);
	ret->status = MHD_HTTP_OK;
	ret->json = view;
	if (r < 0)
		look_set_error(ret, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
}

void look_service(const struct look_settings *settings, const char *service, struct look *ret)
{
	struct error err = {};
	int r;

	pins_set_waiting(pins_never_wait, settings->patience_ms);
	r = service_status_read_named(service, WORKER_VIEW_FULL, &ret->json, &err);
	ret->status = MHD_HTTP_OK;
	if (r == SERVICE_NONE)
		look_set_none(ret, &err);
	else if (r != SERVICE_OPEN)
		look_set_error(ret, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
	ret->is_busy = r == SERVICE_LOCKED;
}

void look_events(const struct look_settings *settings, const char *service, struct look *ret)
{
	_cleanup_service_ struct service opened;
	struct error err = {};

	service_init(&opened);
	if (service_peek(&opened, service, &err) < 0) {
		look_set_none(ret, &err);
		return;
	}
	ret->status = MHD_HTTP_OK;
	ret->json = event_view_read(&opened.steer);
}

void look_rollout(const struct look_settings *settings, const char *service, struct look *ret)
{
	_cleanup_service_ struct service opened;
	struct error err = {};
	int r;

	service_init(&opened);
	r = service_peek_endpoints(&opened, service, &err);
	if (r < 0) {
		look_set_none(ret, &err);
		return;
	}
	r = deployment_file_read(service, &ret->json, &err);
	ret->status = MHD_HTTP_OK;
	if (r == DEPLOYMENT_NONE)
		look_set_error(ret, MHD_HTTP_NOT_FOUND, "the service has had no deployment");
	else if (r < 0)
		look_set_error(ret, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
}

/* --- for load balancers */

int look_read_ready(const struct look_settings *settings, const char *service,
                    struct ready_view *ret, struct error *err)
{
	const unsigned int patience = settings->patience_ms < READY_PATIENCE_MS
	                                      ? settings->patience_ms
	                                      : READY_PATIENCE_MS;

	ready_view_begin(ret, &settings->min_live);
	if (!service)
		return service_each(ready_view_read, ret, patience, err);
	pins_set_waiting(pins_never_wait, patience);
	ready_view_read(service, ret);
	return 0;
}

void look_ready(const struct look_settings *settings, const char *service, struct look *ret)
{
	struct error err = {};
	struct ready_view it;

	if (look_read_ready(settings, service, &it, &err) < 0)
		ready_view_note_fault(&it, err.text);
	ret->status =
	        ready_view_state(&it) == READY_YES ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	ret->is_draining = ready_view_state(&it) == READY_DRAINING;
	ret->json = ready_view_new(&it);
	ret->no_service = it.none;
	ret->is_busy = it.busy;
}

void look_live(const struct look_settings *settings, const char *service, struct look *ret)
{
	ret->status = MHD_HTTP_OK;
	ret->json = json_build_new_object();
	json_build_flag(ret->json, "live", true);
}
