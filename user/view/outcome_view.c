/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/outcome_view.h"

#include "base/json_build.h"
#include "base/json_read.h"
#include "view/json_print.h"

static struct json_object *outcome_view_new(const char *service)
{
	struct json_object *view = json_build_new_object();

	json_build_text(view, "service", service);
	return view;
}

void outcome_view_print_done(FILE *out, const char *service)
{
	struct json_object *view = outcome_view_new(service);

	json_build_number(view, "status", 0);
	json_print_line(out, view);
	json_object_put(view);
}

struct json_object *outcome_view_new_detached(const char *service, bool everywhere, bool replaced)
{
	struct json_object *view = outcome_view_new(service);

	json_build_flag(view, "detached", everywhere);
	json_build_flag(view, "replaced", replaced);
	return view;
}

void outcome_view_print_detached(FILE *out, struct json_object *view)
{
	const char *service = json_read_text(view, "service");

	if (json_read_flag(view, "replaced"))
		fprintf(out, "%s: detached\n", service);
	else if (json_read_flag(view, "detached"))
		fprintf(out, "%s: detached; the kernel's hash selects the worker again\n", service);
	else
		fprintf(out, "%s: its pins are removed\n", service);
}

void outcome_view_print_end(FILE *out, const char *service)
{
	fprintf(out, "%s: detached\n", service);
}
