/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_text.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "bed/unit.h"

static void texts(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
	        {"a\x1b\n", "{\"t\":\"a\\u001b\\n\"}"},
	        {"\x7f", "{\"t\":\"\\u007f\"}"},
	        {"\xc2\x9b", "{\"t\":\"\\u009b\"}"},
	        {"\xe2\x80\xae", "{\"t\":\"\\u202e\"}"},
	        {"\xff\xc3", "{\"t\":\"\\ufffd\\ufffd\"}"},
	        {"\xc3\xa4\xf0\x9f\x98\x80", "{\"t\":\"\xc3\xa4\xf0\x9f\x98\x80\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *object = json_build_new_object();
		_cleanup_free_ char *json = NULL;

		json_build_text(object, "t", cases[i].text);
		json = json_text_new(object);
		assert_string_equal(json, cases[i].json);
		json_object_put(object);
	}
}

static void values(void **state)
{
	static const char text[] = "{\"a\":[1,-2,true,null,\"x/y\"],\"b\":{},\"c\":[],\"d\":0.5}";
	struct json_object *object = json_tokener_parse(text);
	_cleanup_free_ char *json = json_text_new(object);

	assert_string_equal(json, text);
	json_object_put(object);
}

static void pretty(void **state)
{
	struct json_object *object = json_tokener_parse("{\"a\":[1,2],\"b\":[],\"c\":{\"d\":1}}");
	_cleanup_free_ char *json = NULL;
	size_t n;
	FILE *out = open_memstream(&json, &n);

	json_text_print(out, object, JSON_TEXT_PRETTY);
	fclose(out);
	assert_string_equal(json,
	                    "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": [],\n"
	                    "  \"c\": {\n    \"d\": 1\n  }\n}");
	json_object_put(object);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(texts),
	        cmocka_unit_test(values),
	        cmocka_unit_test(pretty),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
