/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "view/metrics.h"

static struct min_live min_live; /* of all metrics */

/* The metrics of the view @json, without HELP and TYPE lines, are @want. */
static void expect(const char *json, const char *want)
{
	struct json_object *services = json_tokener_parse(json);
	_cleanup_free_ char *text = NULL;
	char *samples, *to;
	struct error err;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(services);
	assert_int_equal(metrics_print(out, services, &min_live, &err), 0);
	fclose(out);
	samples = to = calloc(1, size + 1);
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n") + 1;

		if (*line != '#')
			to = mempcpy(to, line, length);
		line += length;
	}
	assert_string_equal(samples, want);
	free(samples);
	json_object_put(services);
}

static void services(void **state)
{
	expect("[]", "");
	expect("[{\"service\": \"a\", \"error\": \"damaged\"}, {\"service\": \"b\", "
	       "\"workers\": [], \"counting\": false, \"unattributed_active\": null, "
	       "\"canary_percent\": 0.7, \"ring\": {\"rounding_error_ppm\": 1500}}]",
	       "reuseportd_up{service=\"a\"} 0\n"
	       "reuseportd_up{service=\"b\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_ready{service=\"b\"} 0\n"
	       "reuseportd_workers{service=\"b\"} 0\n"
	       "reuseportd_ring_rounding_error_ratio{service=\"b\"} 0.0015\n"
	       "reuseportd_canary_share_ratio{service=\"b\"} 0.007\n"
	       "reuseportd_counting{service=\"b\"} 0\n");
}

/* An unknown value is left out; connections that reached no worker are counted once. */
static void workers(void **state)
{
	expect("[{\"service\": \"a\", \"counters\": {\"steered\": 100, \"dropped\": 7}, "
	       "\"workers\": [{\"slot\": 0, \"version\": \"v1\", \"connections\": null, "
	       "\"active\": null, \"counters\": {\"steered\": 60, \"dropped\": 0}}, "
	       "{\"slot\": 3, \"version\": \"v2\", \"connections\": {\"opened\": 40}, "
	       "\"active\": 5, \"counters\": {\"steered\": 40, \"dropped\": 2}}]}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_workers{service=\"a\"} 2\n"
	       "reuseportd_connections_active{service=\"a\",slot=\"3\",version=\"v2\"} 5\n"
	       "reuseportd_steered_total{service=\"a\",slot=\"0\",version=\"v1\"} 60\n"
	       "reuseportd_steered_total{service=\"a\",slot=\"3\",version=\"v2\"} 40\n"
	       "reuseportd_steered_total{service=\"a\",slot=\"none\"} 0\n"
	       "reuseportd_dropped_total{service=\"a\",slot=\"0\",version=\"v1\"} 0\n"
	       "reuseportd_dropped_total{service=\"a\",slot=\"3\",version=\"v2\"} 2\n"
	       "reuseportd_dropped_total{service=\"a\",slot=\"none\"} 5\n"
	       "reuseportd_connections_opened_total{service=\"a\",slot=\"3\",version=\"v2\"} 40\n");
}

static void responses(void **state)
{
	expect("[{\"service\": \"a\", \"workers\": ["
	       "{\"slot\": 0, \"version\": \"v1\", \"responses\": null, "
	       "\"time_to_first_byte\": null}, "
	       "{\"slot\": 1, \"version\": \"v2\", "
	       "\"responses\": {\"unknown\": 0, \"2xx\": 3, \"5xx\": 1}, "
	       "\"time_to_first_byte\": {\"count\": 4, \"sum_seconds\": 0.5, \"histogram\": ["
	       "{\"below_seconds\": 0.000131072, \"count\": 1}, "
	       "{\"below_seconds\": 68.719476736, \"count\": 4}]}}]}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_workers{service=\"a\"} 2\n"
	       "reuseportd_http_responses_total{service=\"a\",slot=\"1\",version=\"v2\","
	       "code=\"unknown\"} 0\n"
	       "reuseportd_http_responses_total{service=\"a\",slot=\"1\",version=\"v2\","
	       "code=\"2xx\"} 3\n"
	       "reuseportd_http_responses_total{service=\"a\",slot=\"1\",version=\"v2\","
	       "code=\"5xx\"} 1\n"
	       "reuseportd_http_time_to_first_byte_seconds_bucket{service=\"a\",slot=\"1\","
	       "version=\"v2\",le=\"0.000131072\"} 1\n"
	       "reuseportd_http_time_to_first_byte_seconds_bucket{service=\"a\",slot=\"1\","
	       "version=\"v2\",le=\"68.7194767\"} 4\n"
	       "reuseportd_http_time_to_first_byte_seconds_bucket{service=\"a\",slot=\"1\","
	       "version=\"v2\",le=\"+Inf\"} 4\n"
	       "reuseportd_http_time_to_first_byte_seconds_sum{service=\"a\",slot=\"1\","
	       "version=\"v2\"} 0.5\n"
	       "reuseportd_http_time_to_first_byte_seconds_count{service=\"a\",slot=\"1\","
	       "version=\"v2\"} 4\n");
}

static void deployment(void **state)
{
	expect("[{\"service\": \"a\", \"deployment\": {\"new\": \"v\\\"2\", \"phase\": \"paused\", "
	       "\"step\": 1, \"share\": 5, \"signals\": ["
	       "{\"name\": \"resets\", \"evidence\": 0.25, \"threshold\": 40}]}}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_rollout_phase{service=\"a\",new=\"v\\\"2\",phase=\"paused\"} 1\n"
	       "reuseportd_rollout_step{service=\"a\",new=\"v\\\"2\"} 1\n"
	       "reuseportd_rollout_share_ratio{service=\"a\",new=\"v\\\"2\"} 0.05\n"
	       "reuseportd_rollout_evidence{service=\"a\",signal=\"resets\"} 0.25\n"
	       "reuseportd_rollout_evidence_threshold{service=\"a\",signal=\"resets\"} 40\n");
}

/* Of a service of `run`: each outcome of a deployment, also those that never came. */
static void supervisor(void **state)
{
	expect("[{\"service\": \"a\", \"run\": true, \"supervisor_pid\": null, "
	       "\"deployments_ended\": {\"promoted\": 2, \"aborted\": 0, \"rolled-back\": 1, "
	       "\"failed\": 0}}, "
	       "{\"service\": \"b\", \"run\": true, \"supervisor_pid\": 7}, "
	       "{\"service\": \"c\", \"run\": false}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_up{service=\"b\"} 1\n"
	       "reuseportd_up{service=\"c\"} 1\n"
	       "reuseportd_supervisor_up{service=\"a\"} 0\n"
	       "reuseportd_supervisor_up{service=\"b\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_ready{service=\"b\"} 0\n"
	       "reuseportd_ready{service=\"c\"} 0\n"
	       "reuseportd_rollouts_total{service=\"a\",outcome=\"promoted\"} 2\n"
	       "reuseportd_rollouts_total{service=\"a\",outcome=\"aborted\"} 0\n"
	       "reuseportd_rollouts_total{service=\"a\",outcome=\"rolled-back\"} 1\n"
	       "reuseportd_rollouts_total{service=\"a\",outcome=\"failed\"} 0\n");
}

static void versions(void **state)
{
	expect("[{\"service\": \"a\", \"versions\": ["
	       "{\"version\": \"v\\\"1\", \"share_percent\": 90, "
	       "\"connections\": {\"opened\": 40, \"reset_by_worker\": 2}, "
	       "\"responses\": {\"2xx\": 30, \"5xx\": 3}, \"unanswered\": 1}, "
	       "{\"version\": \"v2\", \"share_percent\": 10, \"connections\": null, "
	       "\"responses\": null, \"unanswered\": null}]}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_version_share_ratio{service=\"a\",version=\"v\\\"1\"} 0.9\n"
	       "reuseportd_version_share_ratio{service=\"a\",version=\"v2\"} 0.1\n"
	       "reuseportd_version_connections_total{service=\"a\",version=\"v\\\"1\"} 40\n"
	       "reuseportd_version_errors_total{service=\"a\",version=\"v\\\"1\",kind=\"reset\"} "
	       "2\n"
	       "reuseportd_version_errors_total{service=\"a\",version=\"v\\\"1\",kind=\"5xx\"} 3\n"
	       "reuseportd_version_errors_total{service=\"a\",version=\"v\\\"1\","
	       "kind=\"unanswered\"} 1\n");
}

static void escapes(void **state)
{
	expect("[{\"service\": \"a\", \"workers\": [{\"slot\": 0, \"version\": \"\\\"x\\\\\", "
	       "\"state\": \"dead\", \"command\": \"a\\nb\", \"pid\": 7}]}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_workers{service=\"a\"} 1\n"
	       "reuseportd_worker_info{service=\"a\",slot=\"0\",version=\"\\\"x\\\\\","
	       "pid=\"7\",command=\"a\\nb\"} 1\n"
	       "reuseportd_worker_state{service=\"a\",slot=\"0\",version=\"\\\"x\\\\\","
	       "state=\"dead\"} 1\n");
}

/* With and without enough workers for --min-live; draining. */
static void readiness(void **state)
{
	expect("[{\"service\": \"a\", \"readiness\": {\"ready\": true, \"live\": 1, \"wanted\": 4, "
	       "\"draining_since\": null}}, "
	       "{\"service\": \"b\", \"readiness\": {\"ready\": false, \"live\": 4, \"wanted\": 4, "
	       "\"draining_since\": 5.5}}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_up{service=\"b\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 1\n"
	       "reuseportd_ready{service=\"b\"} 0\n"
	       "reuseportd_draining{service=\"a\"} 0\n"
	       "reuseportd_draining{service=\"b\"} 1\n");
	min_live = (struct min_live){50, true};
	expect("[{\"service\": \"a\", \"readiness\": {\"ready\": true, \"live\": 1, \"wanted\": "
	       "4}}, "
	       "{\"service\": \"b\", \"readiness\": {\"ready\": true, \"live\": 2, \"wanted\": "
	       "4}}]",
	       "reuseportd_up{service=\"a\"} 1\n"
	       "reuseportd_up{service=\"b\"} 1\n"
	       "reuseportd_ready{service=\"a\"} 0\n"
	       "reuseportd_ready{service=\"b\"} 1\n"
	       "reuseportd_draining{service=\"a\"} 0\n"
	       "reuseportd_draining{service=\"b\"} 0\n");
	min_live = (struct min_live){};
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(services),   cmocka_unit_test(workers),
	        cmocka_unit_test(responses),  cmocka_unit_test(escapes),
	        cmocka_unit_test(deployment), cmocka_unit_test(supervisor),
	        cmocka_unit_test(versions),   cmocka_unit_test(readiness),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
