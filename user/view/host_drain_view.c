/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/host_drain_view.h"

#include <inttypes.h>

#include "base/json_build.h"
#include "base/json_read.h"
#include "view/connections_view.h"

static void host_drain_view_add_service(struct json_object *to, const struct host_drain_service *it,
                                        bool all_empty)
{
	struct json_object *row = json_build_row(to), *left;

	json_build_text(row, "service", it->name);
	json_build_flag(row, "empty",
	                all_empty ||
	                        (!it->left.handshakes && !it->left.queued && !it->left.active));
	json_build_number(row, "closed", it->n_closed);
	left = json_build_object(row, "left");
	json_build_number(left, "handshakes", it->left.handshakes);
	json_build_number(left, "queued", it->left.queued);
	json_build_number(left, "active", it->left.active);
	json_build_value(row, "remaining", connections_view_new(&it->remaining));
}

struct json_object *host_drain_view_new(int64_t since, bool changed, const struct host_drain *drain)
{
	struct json_object *view = json_build_new_object(), *services;

	json_build_time(view, "draining_since", since);
	json_build_flag(view, "changed", changed);
	json_build_flag(view, "empty", drain->empty);
	json_build_real(view, "seconds", drain->seconds);
	services = json_build_array(view, "services");
	for (size_t i = 0; i < drain->n; i++)
		host_drain_view_add_service(services, &drain->services[i], drain->empty);
	return view;
}

static void host_drain_view_print_service(FILE *out, struct json_object *row)
{
	struct json_object *remaining = json_read_value(row, "remaining");
	struct json_object *left = json_read_value(row, "left");
	int64_t closed = json_read_number(row, "closed");

	if (json_object_array_length(remaining) == 0 && json_read_flag(row, "empty"))
		return;
	fprintf(out, "\n%s: %" PRId64 " handshakes, %" PRId64 " queued, %" PRId64 " active",
	        json_read_text(row, "service"), json_read_number(left, "handshakes"),
	        json_read_number(left, "queued"), json_read_number(left, "active"));
	if (closed)
		fprintf(out, "; %" PRId64 " reset", closed);
	fputc('\n', out);
	if (json_object_array_length(remaining))
		connections_view_print(out, remaining);
}

void host_drain_view_print(FILE *out, struct json_object *view)
{
	struct json_object *services = json_read_value(view, "services");

	fprintf(out,
	        "the host is draining, and %s after %.1f s; `reuseportd resume-host` ends that\n",
	        json_read_flag(view, "empty") ? "empty" : "not empty",
	        json_read_real(view, "seconds"));
	for (size_t i = 0; i < json_object_array_length(services); i++)
		host_drain_view_print_service(out, json_object_array_get_idx(services, i));
}

struct json_object *host_drain_view_new_resumed(bool changed)
{
	struct json_object *view = json_build_new_object();

	json_build_value(view, "draining_since", NULL);
	json_build_flag(view, "changed", changed);
	return view;
}

void host_drain_view_print_resumed(FILE *out, struct json_object *view)
{
	fputs(json_read_flag(view, "changed")
	              ? "the host is resumed: /ready answers for its services\n"
	              : "the host was not draining\n",
	      out);
}
