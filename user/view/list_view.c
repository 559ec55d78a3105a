/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/list_view.h"

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "core/endpoint.h"
#include "core/policy.h"
#include "kern/steer.h"
#include "view/table.h"

struct json_object *list_view_new(void)
{
	return json_build_new_array();
}

void list_view_add(struct json_object *view, const struct service *service,
                   const struct observed *observed)
{
	const struct rpd_service *info = service->steer.service;
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	struct json_object *row = json_build_row(view);
	char text[ENDPOINT_TEXT_MAX];
	unsigned int live = 0, first = 0;

	for (unsigned int slot = 0; slot < observed->n_slots; slot++)
		live += observed->slots[slot].there;
	json_build_text(row, "service", service->pins.service);
	while (first + 1 < info->n_endpoints && !steer_has_endpoint(&service->steer, first))
		first++;
	json_build_text(row, "endpoint",
	                info->n_endpoints
	                        ? endpoint_format(&info->endpoints[first], text, sizeof(text))
	                        : NULL);
	json_build_number(row, "endpoints", steer_count_endpoints(&service->steer));
	json_build_text(row, "policy", policy_name(s->policy));
	json_build_number(row, "workers", s->n_slots);
	json_build_number(row, "live", live);
	json_build_number(row, "in_ring", s->n_ring_slots);
	json_build_flag(row, "run", service_is_run(service));
}

void list_view_add_unreadable(struct json_object *view, const char *service, const char *why)
{
	struct json_object *row = json_build_row(view);

	json_build_text(row, "service", service);
	json_build_text(row, "error", why);
}

void list_view_print(FILE *out, struct json_object *view)
{
	static const struct table_column columns[] = {
	        {.title = "SERVICE", .key = "service"}, {.title = "ENDPOINT", .key = "endpoint"},
	        {.title = "POLICY", .key = "policy"},   {.title = "WORKERS", .key = "workers"},
	        {.title = "LIVE", .key = "live"},       {.title = "IN RING", .key = "in_ring"},
	};

	table_print(out, view, columns, ARRAY_SIZE(columns));
	for (size_t i = 0; i < json_object_array_length(view); i++) {
		struct json_object *row = json_object_array_get_idx(view, i);
		const char *error = json_read_text(row, "error");

		if (error)
			fprintf(out, "%s: %s\n", json_read_text(row, "service"), error);
	}
}
