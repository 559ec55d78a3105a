/* SPDX-License-Identifier: BSD-2-Clause */
/* core/http_address: where HTTP may be served. */
#include "core/http_address.h"

#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"

static void texts(void **state)
{
	static const struct {
		const char *text;
		bool local;
	} good[] = {
	        {"127.0.0.1:9465", true}, {"[::1]:9465", true},         {"0.0.0.0:9465", false},
	        {"[::]:1", false},        {"unix:/run/web.sock", true}, {"10.0.0.1:65535", false},
	};
	static const char *const bad[] = {
	        "",      "9465",  "localhost:9465", "127.0.0.1",     "127.0.0.1:0",
	        "unix:", "unix:", "unix:web.sock",  "unix:./w.sock", "UNIX:/run/web.sock",
	};
	char buf[HTTP_ADDRESS_TEXT_MAX];
	struct http_address address = {};
	struct error err;

	assert_false(http_address_is_set(&address));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(http_address_parse(good[i].text, &address, &err), 0);
		assert_true(http_address_is_set(&address));
		assert_string_equal(http_address_format(&address, buf), good[i].text);
		assert_int_equal(http_address_is_local(&address), good[i].local);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(http_address_parse(bad[i], &address, &err) < 0);
}

static void equality(void **state)
{
	static const char *const all[] = {"127.0.0.1:9465", "127.0.0.2:9465", "127.0.0.1:9466",
	                                  "[::1]:9465",     "unix:/a",        "unix:/b"};
	struct http_address a, b;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t j = 0; j < ARRAY_SIZE(all); j++) {
			assert_int_equal(http_address_parse(all[i], &a, &err), 0);
			assert_int_equal(http_address_parse(all[j], &b, &err), 0);
			assert_int_equal(http_address_equal(&a, &b), i == j);
		}
}

/* The longest path that a socket can have. */
static void long_path(void **state)
{
	char text[200], buf[HTTP_ADDRESS_TEXT_MAX];
	struct http_address address;
	struct error err;

	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[5 + sizeof(address.path)] = '\0';
	assert_true(http_address_parse(text, &address, &err) < 0);
	text[5 + sizeof(address.path) - 1] = '\0';
	assert_int_equal(http_address_parse(text, &address, &err), 0);
	assert_string_equal(http_address_format(&address, buf), text);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(texts),
	        cmocka_unit_test(equality),
	        cmocka_unit_test(long_path),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
