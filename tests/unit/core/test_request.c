/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"

static int parse(const char *text, struct request *ret, struct error *err)
{
	return request_parse(text, strlen(text), ret, err);
}

static void all_fields(void **state)
{
	_cleanup_request_ struct request request;
	struct error err;

	assert_int_equal(parse("{\"label\": \"v2\", \"batch\": 1024, \"do\": \"reload\", "
	                       "\"argv\": [\"a\", \"\", \"b\\n\"], \"in_place\": true, "
	                       "\"keep_going\": false, \"all\": true}",
	                       &request, &err),
	                 0);
	assert_int_equal(request.kind, REQUEST_RELOAD);
	assert_int_equal(request.fields, REQUEST_ARGV | REQUEST_LABEL | REQUEST_BATCH |
	                                         REQUEST_IN_PLACE | REQUEST_KEEP_GOING |
	                                         REQUEST_ALL);
	assert_true(request.all);
	assert_string_equal(request.label, "v2");
	assert_string_equal(request.argv[0], "a");
	assert_string_equal(request.argv[1], "");
	assert_string_equal(request.argv[2], "b\n");
	assert_null(request.argv[3]);
	assert_int_equal(request.batch, 1024);
	assert_true(request.in_place);
	assert_false(request.keep_going);
}

static void deploy(void **state)
{
	_cleanup_request_ struct request request;
	struct error err;

	assert_int_equal(parse("{\"do\": \"deploy\", \"label\": \"v2\", \"argv\": [\"b\"], "
	                       "\"settings\": [\"steps=5% 2m\", \"dry-run\"], \"wait\": true, "
	                       "\"supersede\": true}",
	                       &request, &err),
	                 0);
	assert_int_equal(request.kind, REQUEST_DEPLOY);
	assert_int_equal(request.fields, REQUEST_LABEL | REQUEST_ARGV | REQUEST_WAIT |
	                                         REQUEST_SUPERSEDE | REQUEST_SETTINGS);
	assert_string_equal(request.settings[0], "steps=5% 2m");
	assert_string_equal(request.settings[1], "dry-run");
	assert_null(request.settings[2]);
}

static void deploy_refused(void **state)
{
	static const char *const texts[] = {
	        "{\"do\": \"deploy\", \"settings\": \"steps=5% 2m\"}",
	        "{\"do\": \"deploy\", \"settings\": [5]}",
	        "{\"do\": \"deploy\", \"settings\": [\"a\\u0000b\"]}",
	        "{\"do\": \"reload\", \"settings\": [\"dry-run\"]}",
	        "{\"do\": \"pause\", \"why\": \"so\"}",
	        "{\"do\": \"promote\", \"full\": 1}",
	        "{\"do\": \"rollback\", \"to\": \"\"}",
	};
	char text[REQUEST_TEXT_MAX + 64];
	struct request request;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(parse(texts[i], &request, &err), -EINVAL);
	for (int room = 0; room < 2; room++) {
		snprintf(text, sizeof(text), "{\"do\": \"abort\", \"why\": \"%0*d\"}",
		         REQUEST_TEXT_MAX - room, 7);
		assert_int_equal(parse(text, &request, &err), room ? 0 : -EINVAL);
		request_free(&request);
	}
}

static void no_fields(void **state)
{
	_cleanup_request_ struct request request;
	struct error err;

	assert_int_equal(parse("{\"do\":\"stop\"}", &request, &err), 0);
	assert_int_equal(request.kind, REQUEST_STOP);
	assert_int_equal(request.fields, 0);
}

static void slots(void **state)
{
	_cleanup_request_ struct request request;
	struct error err;

	assert_int_equal(parse("{\"do\":\"restart\",\"slots\":[0,7,1023]}", &request, &err), 0);
	assert_int_equal(request.slots.n, 3);
	assert_int_equal(request.slots.at[2], 1023);
}

/* An argument of a program may be any bytes except NUL. */
static void words_are_bytes(void **state)
{
	_cleanup_request_ struct request request;
	struct error err;

	assert_int_equal(parse("{\"do\":\"reload\",\"argv\":[\"\xff\xfe\"]}", &request, &err), 0);
	assert_string_equal(request.argv[0], "\xff\xfe");
}

static const struct {
	const char *text, *why;
	int status;
} bad[] = {
        {"", "not a JSON object", EXIT_USAGE},
        {"{\"do\":\"stop\"} x", "not a JSON object", EXIT_USAGE},
        {"{\"do\":\"reload\",\"argv\":[[[[[\"a\"]]]]]}", "not a JSON object", EXIT_USAGE},
        {"{\"slots\":[0]}", "no field 'do'", EXIT_USAGE},
        {"{\"do\":\"reboot\"}", "does not know the request 'reboot'", EXIT_REFUSED},
        {"{\"do\":\"stop\",\"batch\":1}", "'stop' has no field 'batch'", EXIT_USAGE},
        {"{\"do\":\"start\"}", "'start' needs the field 'slots'", EXIT_USAGE},
        {"{\"do\":\"scale\",\"workers\":0}", "'workers' of request 'scale' must be a number",
         EXIT_USAGE},
        {"{\"do\":\"scale\",\"workers\":99999999999999999999999}", "'workers'", EXIT_USAGE},
        {"{\"do\":\"scale\",\"workers\":-99999999999999999999999}", "'workers'", EXIT_USAGE},
        {"{\"do\":\"scale\",\"workers\":1.0}", "'workers'", EXIT_USAGE},
        {"{\"do\":\"start\",\"slots\":[1,1]}", "'slots'", EXIT_USAGE},
        {"{\"do\":\"start\",\"slots\":[2,1]}", "'slots'", EXIT_USAGE},
        {"{\"do\":\"start\",\"slots\":[1024]}", "'slots'", EXIT_USAGE},
        {"{\"do\":\"start\",\"slots\":[]}", "'slots'", EXIT_USAGE},
        {"{\"do\":\"reload\",\"label\":\"a\\u0000\"}", "'label'", EXIT_USAGE},
        {"{\"do\":\"reload\",\"label\":null}", "'label'", EXIT_USAGE},
        {"{\"do\":\"reload\",\"label\":\"0123456789012345678901234567890123\"}", "'label'",
         EXIT_USAGE},
        {"{\"do\":\"reload\",\"argv\":[\"a\",\"b\\u0000c\"]}", "'argv'", EXIT_USAGE},
        {"{\"do\":\"reload\",\"argv\":[\"a\",null]}", "'argv'", EXIT_USAGE},
        {"{\"do\":\"reload\",\"in_place\":0}", "'in_place'", EXIT_USAGE},
};

static void refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct request request;
		struct error err = {};

		assert_true(parse(bad[i].text, &request, &err) < 0);
		if (!strstr(err.text, bad[i].why) || err.status != bad[i].status)
			fail_msg("%s: %d, %s", bad[i].text, err.status, err.text);
		assert_null(request.argv);
		assert_int_equal(request.fields, 0);
		assert_true(parse(bad[i].text, &request, NULL) < 0);
	}
}

/* A NUL within the text does not end it. */
static void nul_in_text(void **state)
{
	static const char text[] = "{\"do\":\"stop\"}\0";
	struct request request;
	struct error err;

	assert_true(request_parse(text, sizeof(text) - 1, &request, &err) < 0);
}

/* Whatever the bytes are, the result is within the bounds. */
static void random_bytes(void **state)
{
	static const char *const pieces[] = {
	        "{",        "}",        "[",     "]",    ",",         ":",          "\"do\":",
	        "\"stop\"", "\"argv\"", "null",  "true", "1e999",     "\"slots\"",  "[0,1]",
	        "\\u0000",  "\"",       "-1024", "\x80", "\"label\"", "\"reload\"", "\"a\"",
	};

	seed_start("request");
	for (int i = 0; i < 100000; i++) {
		_cleanup_request_ struct request request;
		char text[256] = "{\"do\":\"reload\",";
		struct error err;

		if (seed_next(2))
			text[0] = '\0';
		for (unsigned int n = seed_next(12); n > 0; n--)
			strcat(text, pieces[seed_next(ARRAY_SIZE(pieces))]);
		if (parse(text, &request, &err) < 0)
			continue;
		assert_true(request.slots.n <= RPD_SLOT_MAX);
		assert_true(request.batch <= RPD_SLOT_MAX && request.workers <= RPD_SLOT_MAX);
		assert_true(!(request.fields & REQUEST_ARGV) == !request.argv);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_fields),     cmocka_unit_test(no_fields),
	        cmocka_unit_test(slots),          cmocka_unit_test(words_are_bytes),
	        cmocka_unit_test(refused),        cmocka_unit_test(nul_in_text),
	        cmocka_unit_test(random_bytes),   cmocka_unit_test(deploy),
	        cmocka_unit_test(deploy_refused),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
