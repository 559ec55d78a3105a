/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/former_view.h"

#include <time.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "core/worker_state.h"
#include "service/former_workers.h"
#include "view/table.h"

static const char *former_view_state_name(uint8_t state)
{
	return state == WORKER_HELD ? "kept" : state == WORKER_DRAINING ? "draining" : "stopping";
}

static void former_view_fill(struct json_object *view, const struct former_worker *former,
                             uint64_t now)
{
	const struct rpd_former *row = &former->row;

	json_build_number(view, "slot", row->slot);
	json_build_number(view, "pid", row->pid);
	json_build_text(view, "command", row->comm[0] ? row->comm : NULL);
	json_build_text(view, "version", row->label[0] ? row->label : NULL);
	json_build_text(view, "state", former_view_state_name(row->state));
	json_build_number(view, "since", row->since);
	json_build_number(view, "since_seconds", now > row->since ? now - row->since : 0);
	json_build_known(view, "active", former->counted, former->open);
}

int former_view_add(struct json_object *to, const struct service *service, struct error *err)
{
	_cleanup_free_ struct former_worker *list = NULL;
	size_t n = 0;
	int r = former_workers_list(service, &list, &n);
	struct json_object *view;

	if (r < 0)
		return error_set(err, r, "out of memory");
	view = json_build_array(to, "former_workers");
	for (size_t i = 0; i < n; i++)
		former_view_fill(json_build_row(view), &list[i], time(NULL));
	return 0;
}

void former_view_print(FILE *out, struct json_object *status)
{
	static const struct table_column columns[] = {
	        {.title = "SLOT", .key = "slot"},
	        {.title = "STATE", .key = "state"},
	        {.title = "VERSION", .key = "version"},
	        {.title = "PID", .key = "pid"},
	        {.title = "COMMAND", .key = "command"},
	        {.title = "ACTIVE", .key = "active"},
	        {.title = "SINCE", .key = "since_seconds", .format = table_format_age},
	};
	struct json_object *rows = json_read_value(status, "former_workers");

	if (json_object_array_length(rows) == 0)
		return;
	fputs("\nFormer workers, out of their slots:\n", out);
	table_print(out, rows, columns, ARRAY_SIZE(columns));
}
