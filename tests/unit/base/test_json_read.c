/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_limit.h"
#include "base/json_read.h"
#include "bed/unit.h"

/* Each function takes a member of any type. */
static void members_of_any_type(void **state)
{
	static const char text[] =
	        "{\"text\": \"x\", \"number\": 7, \"object\": {}, \"list\": [1, 2]}";
	static const char *const keys[] = {"text", "number", "object", "list", "none"};
	struct json_object *object = json_tokener_parse(text);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_read_text(object, keys[i]);
		json_read_flag(object, keys[i]);
		json_read_real(object, keys[i]);
		assert_int_equal(json_read_number(object, keys[i]), i == 1 ? 7 : 0);
		assert_int_equal(json_read_length(object, keys[i]), i == 3 ? 2 : 0);
		assert_null(json_read_value(json_read_value(object, keys[i]), keys[i]));
	}
	json_object_put(object);
}

static void too_many_objects(void **state)
{
	enum { SMALL = 2000, LARGE = 1 << 20 };
	_cleanup_free_ char *text = malloc(LARGE);

	memset(text, ' ', LARGE);
	for (size_t i = 0; i < SMALL; i += 2)
		text[i] = i % 4 ? '{' : '[';
	assert_true(json_limit_allows(text, SMALL));
	memset(text, '[', SMALL);
	assert_false(json_limit_allows(text, SMALL));
	assert_true(json_limit_allows(text, LARGE));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(members_of_any_type),
	        cmocka_unit_test(too_many_objects),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
