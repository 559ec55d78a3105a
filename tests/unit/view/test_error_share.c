/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"
#include "base/json_read.h"
#include "bed/unit.h"
#include "view/error_share.h"

#define WORKER(slot, pid, good, bad)                                                               \
	"{\"slot\": " #slot ", \"pid\": " #pid ", \"responses\": {\"2xx\": " #good                 \
	", \"5xx\": " #bad "}}"

/* Expects the share of the worker at @at, or that there is none (-1). */
static void expect(struct json_object *status, size_t at, double want)
{
	struct json_object *worker =
	        json_object_array_get_idx(json_object_object_get(status, "workers"), at);
	struct json_object *share = json_read_value(worker, ERROR_SHARE_KEY);

	assert_true((share ? json_object_get_double(share) : -1) == want);
}

static void shares(void **state)
{
	struct json_object *before = json_tokener_parse(
	        "{\"workers\": [" WORKER(0, 10, 7, 5) "," WORKER(1, 11, 7, 5) "," WORKER(
	                3, 13, 7, 5) "," WORKER(4, 14, 7, 5) "," WORKER(5, 15, 7,
	                                                                5) "," WORKER(6, 16, 7,
	                                                                              5) "]}");
	/* Slot 2 is new, 3 has another process, 4 counts from 0 again, 5 has sent nothing, 6 counts
	 * no responses. */
	struct json_object *status =
	        json_tokener_parse("{\"workers\": [" WORKER(0, 10, 10, 6) "," WORKER(
	                1, 11, 8, 5) "," WORKER(2, 12, 8, 8) "," WORKER(3, 23, 8, 8) "," WORKER(
	                4, 14, 9, 4) "," WORKER(5, 15, 7, 5) ", {\"slot\": 6, \"pid\": 16, "
	                                                     "\"responses\": null}]}");

	error_share_add(status, NULL);
	expect(status, 0, -1);
	error_share_add(status, before);
	expect(status, 0, 25);
	expect(status, 1, 0);
	for (size_t at = 2; at < 7; at++)
		expect(status, at, -1);
	json_object_put(status);
	json_object_put(before);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shares)};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
