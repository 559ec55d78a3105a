/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/foreign_view.h"

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "core/endpoint.h"
#include "view/table.h"

void foreign_view_add(struct json_object *to, const struct service *service,
                      const struct observed *observed)
{
	const struct rpd_service *info = service->steer.service;
	struct json_object *view = json_build_array(to, "foreign_listeners"), *row;
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < observed->n_foreign; i++) {
		const struct observed_foreign *it = &observed->foreign[i];

		row = json_build_row(view);
		json_build_text(
		        row, "endpoint",
		        endpoint_format(&info->endpoints[it->endpoint], text, sizeof(text)));
		if (it->owner.id.pid) {
			json_build_number(row, "pid", it->owner.id.pid);
			json_build_number(row, "fd", it->owner.fd);
			json_build_text(row, "command", it->owner.comm);
		}
		json_build_flag(row, "former", it->former);
		json_build_flag(row, "alone", it->alone);
	}
}

/* The kernel drops the program of a group when its last listener closes, whatever --strict says.
 * Whether that has happened can't be seen later, so a group without an admitted worker is reported
 * as one that the kernel's hash serves. */
void foreign_view_print(FILE *out, struct json_object *foreign)
{
	static const struct table_column columns[] = {
	        {.title = "FOREIGN LISTENER ON", .key = "endpoint"},
	        {.title = "PID", .key = "pid"},
	        {.title = "FD", .key = "fd"},
	        {.title = "COMMAND", .key = "command"},
	        {.title = "FORMER", .key = "former"},
	};
	size_t n = json_object_array_length(foreign), alone = 0;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		alone += json_read_flag(json_object_array_get_idx(foreign, i), "alone");
	fputc('\n', out);
	table_print(out, foreign, columns, ARRAY_SIZE(columns));
	if (alone < n)
		fputs("Foreign listeners get no new connection while an admitted worker lives.\n",
		      out);
	if (alone > 0)
		fprintf(out,
		        "No admitted worker listens on %s any more: the kernel's hash\n"
		        "selects a foreign listener. `reuseportd attach` steers to them again.\n",
		        alone < n ? "some of these endpoints" : "this endpoint");
}
