/* SPDX-License-Identifier: BSD-2-Clause */
/* web/guard: which headers are those of clients that may ask. */
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "web/guard.h"

static void host(void **state)
{
	static const char *const good[] = {"127.0.0.1",   "10.1.2.3:9465",  "[::1]",
	                                   "[::1]:9465",  "localhost",      "LocalHost:80",
	                                   "web.example", "WEB.example:443"};
	static const char *const bad[] = {"",
	                                  "evil.example",
	                                  "localhost.evil.example",
	                                  "127.0.0.1.evil.example",
	                                  "localhost:",
	                                  "localhost:0x50",
	                                  "localhost:65536",
	                                  "localhost:80:80",
	                                  "::1",
	                                  "[::1",
	                                  "[::1]x",
	                                  "[localhost]",
	                                  "[]",
	                                  ":80",
	                                  "127.1",
	                                  " localhost",
	                                  "localhost/"};
	char longest[1000];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!guard_allows_host(good[i], "web.example"))
			fail_msg("refused: '%s'", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (guard_allows_host(bad[i], "web.example"))
			fail_msg("allowed: '%s'", bad[i]);
	assert_false(guard_allows_host(NULL, "web.example"));
	assert_false(guard_allows_host("web.example", NULL));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(guard_allows_host(longest, longest));
}

static void origin(void **state)
{
	assert_true(guard_allows_origin(NULL, "localhost"));
	assert_true(guard_allows_origin("http://localhost:80", "localhost:80"));
	assert_true(guard_allows_origin("HTTPS://LOCALHOST", "localhost"));
	assert_false(guard_allows_origin("http://localhost", "localhost:80"));
	assert_false(guard_allows_origin("http://localhost.evil.example", "localhost"));
	assert_false(guard_allows_origin("ftp://localhost", "localhost"));
	assert_false(guard_allows_origin("null", "localhost"));
	assert_false(guard_allows_origin("", "localhost"));
	assert_false(guard_allows_origin("http://", NULL));
}

static void type(void **state)
{
	assert_true(guard_is_json("application/json"));
	assert_true(guard_is_json("Application/JSON; charset=utf-8"));
	assert_false(guard_is_json("application/jsonx"));
	assert_false(guard_is_json("application/json,text/plain"));
	assert_false(guard_is_json("text/plain"));
	assert_false(guard_is_json(""));
	assert_false(guard_is_json(NULL));
}

static void token(void **state)
{
	struct guard_token none = {}, it;

	assert_int_equal(guard_parse_token("0123456789abcdef\r\n", 18, &it, NULL), 0);
	assert_string_equal(it.text, "0123456789abcdef");
	assert_true(guard_has_token("Bearer 0123456789abcdef", &it));
	assert_true(guard_has_token("bearer 0123456789abcdef", &it));
	assert_false(guard_has_token("Bearer 0123456789abcde", &it));
	assert_false(guard_has_token("Bearer 0123456789abcdeff", &it));
	assert_false(guard_has_token("Bearer  0123456789abcdef", &it));
	assert_false(guard_has_token("Bearer 0123456789abcdef ", &it));
	assert_false(guard_has_token("0123456789abcdef", &it));
	assert_false(guard_has_token("Bearer ", &it));
	assert_false(guard_has_token(NULL, &it));
	assert_false(guard_has_token("Bearer ", &none));
	assert_false(guard_has_token("Bearer", &none));
}

static void token_length(void **state)
{
	char text[GUARD_TOKEN_MAX + 2], header[GUARD_TOKEN_MAX + 16];
	struct guard_token it;

	memset(text, 'x', sizeof(text));
	assert_true(guard_parse_token(text, GUARD_TOKEN_MIN - 1, &it, NULL) < 0);
	assert_true(guard_parse_token(text, GUARD_TOKEN_MAX + 1, &it, NULL) < 0);
	assert_int_equal(guard_parse_token(text, GUARD_TOKEN_MAX, &it, NULL), 0);
	snprintf(header, sizeof(header), "Bearer %.*s", GUARD_TOKEN_MAX, text);
	assert_true(guard_has_token(header, &it));
	strcat(header, "x");
	assert_false(guard_has_token(header, &it));
	text[3] = '\0';
	assert_true(guard_parse_token(text, GUARD_TOKEN_MAX, &it, NULL) < 0);
	text[3] = '\xc3';
	assert_true(guard_parse_token(text, GUARD_TOKEN_MAX, &it, NULL) < 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(host),  cmocka_unit_test(origin),       cmocka_unit_test(type),
	        cmocka_unit_test(token), cmocka_unit_test(token_length),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
