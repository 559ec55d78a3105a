/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/error_share.h"

#include "base/json_build.h"
#include "base/json_read.h"

/* Final responses of a known status. */
static int64_t error_share_count(struct json_object *responses)
{
	return json_read_number(responses, "2xx") + json_read_number(responses, "3xx") +
	       json_read_number(responses, "4xx") + json_read_number(responses, "5xx");
}

static void error_share_add_worker(struct json_object *worker, struct json_object *before)
{
	struct json_object *now = json_read_value(worker, "responses");
	struct json_object *then = json_read_value(before, "responses");
	const int64_t all = error_share_count(now) - error_share_count(then);
	const int64_t errors = json_read_number(now, "5xx") - json_read_number(then, "5xx");

	if (!now || !then || all <= 0 || errors < 0 || errors > all ||
	    json_read_number(worker, "pid") != json_read_number(before, "pid"))
		return;
	json_build_real(worker, ERROR_SHARE_KEY, 100.0 * (double)errors / (double)all);
}

/* Both arrays are in the order of the slots. */
void error_share_add(struct json_object *status, struct json_object *before)
{
	struct json_object *now = json_read_value(status, "workers");
	struct json_object *then = json_read_value(before, "workers");
	const size_t n = json_read_length(before, "workers");
	size_t at = 0;

	for (size_t i = 0; i < json_read_length(status, "workers"); i++) {
		struct json_object *worker = json_object_array_get_idx(now, i);
		const int64_t slot = json_read_number(worker, "slot");

		while (at < n &&
		       json_read_number(json_object_array_get_idx(then, at), "slot") < slot)
			at++;
		if (at < n && json_read_number(json_object_array_get_idx(then, at), "slot") == slot)
			error_share_add_worker(worker, json_object_array_get_idx(then, at));
	}
}
