/* SPDX-License-Identifier: BSD-2-Clause */
/* web/route: which paths there are, and with which methods. */
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "web/route.h"

static struct route_found find(const char *method, const char *path)
{
	return route_find(route_all, method, path);
}

static void paths(void **state)
{
	struct route_found found = find("GET", "/api/v1/services/web-1/events");

	assert_int_equal(found.route->kind, ROUTE_EVENTS);
	assert_string_equal(found.service, "web-1");
	found = find("HEAD", "/api/v1/services");
	assert_ptr_equal(found.route->look, look_services);
	assert_string_equal(found.service, "");
	found = find("POST", "/api/v1/services/web/rollback");
	assert_int_equal(found.route->action, REQUEST_ROLLBACK);
	assert_string_equal(found.service, "web");
}

static void no_paths(void **state)
{
	static const char *const none[] = {
	        "",
	        "*",
	        "/x",
	        "//",
	        "/metrics/",
	        "/METRICS",
	        "/api/v1/services/",
	        "/api/v1/services//",
	        "/api/v1/services/web/",
	        "/api/v1/services/web/events/",
	        "/api/v1/services/web/reload",
	        "/api/v1/services/*",
	        "/api/v1/services/..",
	        "/api/v1/services/a%62",
	        "/api/v1/services/a.b/events",
	        "/api/v1/services/1a",
	        "/api/v1/services/abcdefghijklmnopqrstuvwxyzabcdef",
	};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (find("GET", none[i]).allow || find("POST", none[i]).allow)
			fail_msg("there is a path '%s'", none[i]);
	assert_null(route_find(route_metrics, "GET", "/").allow);
	assert_non_null(route_find(route_metrics, "GET", "/metrics").route);
}

static void methods(void **state)
{
	assert_null(find("POST", "/metrics").route);
	assert_string_equal(find("POST", "/metrics").allow, "GET, HEAD");
	assert_null(find("GET", "/api/v1/services/web/drain").route);
	assert_null(find("HEAD", "/api/v1/services/web/drain").route);
	assert_string_equal(find("GET", "/api/v1/services/web/drain").allow, "POST");
	assert_null(find("get", "/metrics").route);
}

/* Each action of the table of requests has a path, and each path an action of that name. */
static void actions(void **state)
{
	unsigned int n = 0;

	for (const struct route *row = route_all; row->path; row++) {
		if (row->kind != ROUTE_ACTION)
			continue;
		assert_string_equal(strrchr(row->path, '/') + 1, request_action_name(row->action));
		n++;
	}
	for (unsigned int kind = 0; kind < 64; kind++)
		n -= request_action_name(kind) != NULL;
	assert_int_equal(n, 0);
}

static void queries(void **state)
{
	static const char *const wrong[] = {"", "503", "4040", "404 ", "x"};
	unsigned int status = 1;

	assert_int_equal(route_parse_draining(NULL, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(route_parse_draining("404", &status), 0);
	assert_int_equal(status, 404);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_true(route_parse_draining(wrong[i], &status) < 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(paths),   cmocka_unit_test(no_paths), cmocka_unit_test(methods),
	        cmocka_unit_test(actions), cmocka_unit_test(queries),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
