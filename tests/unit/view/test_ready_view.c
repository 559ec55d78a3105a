/* SPDX-License-Identifier: BSD-2-Clause */
/* view/ready_view: which services are ready, and what load balancers are answered. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bed/unit.h"
#include "view/ready_view.h"

#define SINCE (1000 * NS_PER_S)

static struct service_ready of(unsigned int live, unsigned int wanted)
{
	struct service_ready ready = {.live = live, .wanted = wanted};

	strcpy(ready.version, live ? "v1" : "");
	return ready;
}

static void expect(const struct ready_view *it, const char *json, const char *agent)
{
	struct json_object *view = ready_view_new(it);
	char line[256];

	assert_string_equal(json_object_to_json_string_ext(view, JSON_C_TO_STRING_PLAIN), json);
	assert_string_equal(ready_view_format_agent(it, line, sizeof(line)), agent);
	json_object_put(view);
}

static void one_service(void **state)
{
	struct service_ready ready = of(3, 4);
	struct ready_view it = {};

	assert_int_equal(ready_view_state(&it), READY_NOT);
	expect(&it,
	       "{\"ready\":false,\"reason\":\"there is no service\",\"live\":0,\"wanted\":0,"
	       "\"version\":null,\"draining_since\":null}",
	       "down#there is no service\n");
	ready_view_add(&it, "a", &ready);
	assert_int_equal(ready_view_state(&it), READY_YES);
	expect(&it,
	       "{\"ready\":true,\"reason\":null,\"live\":3,\"wanted\":4,\"version\":\"v1\","
	       "\"draining_since\":null}",
	       "ready up 75%\n");
}

static void too_few(void **state)
{
	struct ready_view it = {.min_live = {75, true}};
	struct service_ready ready = of(2, 4);

	ready_view_add(&it, "a", &ready);
	expect(&it,
	       "{\"ready\":false,\"reason\":\"service 'a' has 2 of 4 workers for new connections, "
	       "and needs 3 (--min-live)\",\"live\":2,\"wanted\":4,\"version\":\"v1\","
	       "\"draining_since\":null}",
	       "down#service 'a' has 2 of 4 workers for new connections, and needs 3 "
	       "(--min-live)\n");
	it = (struct ready_view){};
	ready = of(0, 4);
	ready_view_add(&it, "a", &ready);
	assert_int_equal(ready_view_state(&it), READY_NOT);
	assert_string_equal(it.why, "service 'a' has no worker for new connections");
}

/* One of several that is not ready, and which fault is named. */
static void several(void **state)
{
	struct service_ready ready = of(4, 4), faulty = of(1, 1);
	struct ready_view it = {};

	strcpy(faulty.fault, "the supervisor\nof \033service 'b'");
	ready_view_add(&it, "a", &ready);
	ready_view_add(&it, "c", &ready);
	assert_int_equal(ready_view_state(&it), READY_YES);
	ready_view_add(&it, "b", &faulty);
	strcpy(faulty.fault, "another one");
	ready_view_add(&it, "d", &faulty);
	assert_int_equal(ready_view_state(&it), READY_NOT);
	expect(&it,
	       "{\"ready\":false,\"reason\":\"the supervisor\\nof \\u001bservice 'b'\",\"live\":10,"
	       "\"wanted\":10,\"version\":null,\"draining_since\":null}",
	       "down#the supervisor\n");
}

/* What began first; a service that can't take connections is not only draining. */
static void draining(void **state)
{
	struct service_ready ready = of(2, 2);
	struct ready_view it = {};

	ready_view_add(&it, "a", &ready);
	ready.draining_since = SINCE + NS_PER_S;
	ready_view_add(&it, "b", &ready);
	assert_int_equal(ready_view_state(&it), READY_DRAINING);
	ready.draining_since = SINCE;
	ready_view_add(&it, "c", &ready);
	expect(&it,
	       "{\"ready\":false,\"reason\":\"draining\",\"live\":6,\"wanted\":6,\"version\":null,"
	       "\"draining_since\":1000.000}",
	       "drain\n");
	ready = of(0, 2); /* its workers are being stopped */
	ready.draining_since = SINCE + NS_PER_S;
	ready_view_add(&it, "d", &ready);
	assert_int_equal(ready_view_state(&it), READY_DRAINING);
	ready.draining_since = 0;
	ready_view_add(&it, "e", &ready);
	assert_int_equal(ready_view_state(&it), READY_NOT);
	assert_int_equal(it.draining_since, SINCE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_service),
	        cmocka_unit_test(too_few),
	        cmocka_unit_test(several),
	        cmocka_unit_test(draining),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
