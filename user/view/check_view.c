/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/check_view.h"

#include <inttypes.h>

#include "base/json_build.h"
#include "base/json_read.h"

struct json_object *check_view_new(const char *file, bool ok)
{
	struct json_object *view = json_build_new_object();

	json_build_text(view, "file", file);
	json_build_flag(view, "ok", ok);
	json_build_array(view, "services");
	json_build_array(view, "problems");
	return view;
}

void check_view_add_service(struct json_object *view, const struct run_config *config)
{
	struct json_object *row = json_build_row(json_read_value(view, "services"));

	json_build_text(row, "service", config->service);
	json_build_number(row, "workers", config->workers);
	if (config->user)
		json_build_text(row, "user", config->user);
	json_build_words(row, "command", config->argv);
}

void check_view_add_problem(struct json_object *view, unsigned int line, bool warning,
                            const char *text)
{
	struct json_object *row = json_build_row(json_read_value(view, "problems"));

	if (line)
		json_build_number(row, "line", line);
	json_build_text(row, "severity", warning ? "warning" : "error");
	json_build_text(row, "text", text);
}

static void check_view_print_service(FILE *out, struct json_object *row)
{
	struct json_object *command = json_read_value(row, "command");
	int64_t workers = json_read_number(row, "workers");

	fprintf(out, "%s: %" PRId64 " worker%s", json_read_text(row, "service"), workers,
	        workers > 1 ? "s" : "");
	if (json_read_value(row, "user"))
		fprintf(out, " as %s", json_read_text(row, "user"));
	fputc(':', out);
	for (size_t i = 0; i < json_object_array_length(command); i++)
		fprintf(out, " %s", json_object_get_string(json_object_array_get_idx(command, i)));
	fputc('\n', out);
}

void check_view_print(FILE *out, struct json_object *view)
{
	struct json_object *services = json_read_value(view, "services");

	for (size_t i = 0; i < json_object_array_length(services); i++)
		check_view_print_service(out, json_object_array_get_idx(services, i));
}
