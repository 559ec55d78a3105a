/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/counters_view.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "kern/steer_counters.h"
#include "view/wrap.h"

#define COUNTERS_VIEW_HELP_AT 23 /* the column of the help */

void counters_view_add(struct json_object *to, const struct counters *counts)
{
	struct json_object *view = json_build_object(to, "counters");

#define RPD_COUNTER(name, help) json_build_number(view, #name, counts->of[RPD_OUTCOME_##name]);
#include <reuseportd/counters.def>
}

void counters_view_print(FILE *out, struct json_object *counters)
{
	static const struct {
		const char *name, *help;
	} list[] = {
#define RPD_COUNTER(name, help) {#name, help},
#include <reuseportd/counters.def>
	};

	fputc('\n', out);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		int64_t n = json_read_number(counters, list[i].name);

		if (n == 0 && i > 0)
			continue;
		fprintf(out, "%10" PRId64 " %-10s  ", n, list[i].name);
		wrap_print(out, list[i].help, COUNTERS_VIEW_HELP_AT, COUNTERS_VIEW_HELP_AT);
	}
}
