/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/drain_view.h"

#include <inttypes.h>
#include <stdbool.h>

#include "base/json_build.h"
#include "base/json_read.h"
#include "view/connections_view.h"

struct json_object *drain_view_new(const char *service, const struct slots *slots,
                                   const struct drain_wait_result *result)
{
	struct json_object *view = json_build_new_object(), *left;

	json_build_text(view, "service", service);
	json_build_numbers(view, "slots", slots->at, slots->n);
	json_build_flag(view, "empty", result->empty);
	json_build_real(view, "seconds", result->seconds);
	json_build_number(view, "closed", result->n_closed);
	left = json_build_object(view, "left");
	json_build_number(left, "handshakes", result->left.handshakes);
	json_build_number(left, "queued", result->left.queued);
	json_build_number(left, "active", result->left.active);
	json_build_number(left, "unattributed", result->left.unattributed);
	json_build_value(view, "remaining", connections_view_new(&result->remaining));
	return view;
}

static bool drain_view_has_unattributed(struct json_object *connections)
{
	for (size_t i = 0; i < json_object_array_length(connections); i++)
		if (!json_read_value(json_object_array_get_idx(connections, i), "slot"))
			return true;
	return false;
}

static void drain_view_print_summary(FILE *out, struct json_object *view)
{
	struct json_object *slots = json_read_value(view, "slots");
	struct json_object *left = json_read_value(view, "left");
	int64_t unattributed = json_read_number(left, "unattributed");

	fprintf(out, "%s: slot%s", json_read_text(view, "service"),
	        json_object_array_length(slots) == 1 ? "" : "s");
	for (size_t i = 0; i < json_object_array_length(slots); i++)
		fprintf(out, " %d", json_object_get_int(json_object_array_get_idx(slots, i)));
	fprintf(out,
	        " %s after %.1f s: %" PRId64 " handshakes, %" PRId64 " queued, %" PRId64 " active",
	        json_read_flag(view, "empty") ? "empty" : "not empty",
	        json_read_real(view, "seconds"), json_read_number(left, "handshakes"),
	        json_read_number(left, "queued"), json_read_number(left, "active"));
	if (unattributed)
		fprintf(out, ", %" PRId64 " of an unknown worker", unattributed);
	fputc('\n', out);
}

void drain_view_print(FILE *out, struct json_object *view)
{
	struct json_object *remaining = json_read_value(view, "remaining");
	int64_t closed = json_read_number(view, "closed");

	drain_view_print_summary(out, view);
	if (closed)
		fprintf(out, "%" PRId64 " connection%s reset\n", closed,
		        closed == 1 ? " was" : "s were");
	if (json_object_array_length(remaining) == 0)
		return;
	fprintf(out, closed ? "\nConnections when the timeout expired:\n"
	                    : "\nRemaining connections:\n");
	connections_view_print(out, remaining);
	if (drain_view_has_unattributed(remaining))
		fputs("Connections of slot - are never reset, because their worker is unknown.\n",
		      out);
}
