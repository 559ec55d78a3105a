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
		json = json_text_new(object, JSON_C_TO_STRING_PLAIN);
		assert_string_equal(json, cases[i].json);
		json_object_put(object);
	}
}

static void pretty(void **state)
{
	struct json_object *object = json_build_new_object();
	_cleanup_free_ char *json = NULL;

	json_build_number(object, "n", 1);
	json = json_text_new(object, JSON_C_TO_STRING_PRETTY);
	assert_string_equal(json, "{\n  \"n\":1\n}");
	json_object_put(object);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(texts),
	        cmocka_unit_test(pretty),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
