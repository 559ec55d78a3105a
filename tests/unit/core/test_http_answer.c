/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/http_answer.h"

static int parse(const char *text, size_t n, struct http_answer *ret)
{
	/* Its own allocation: a sanitizer sees each byte that is read behind it. */
	_cleanup_free_ char *bytes = malloc(n);

	memcpy(bytes, text, n);
	return http_answer_parse(bytes, n, ret);
}

static void good_lines(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *rest;
	} cases[] = {
	        {"HTTP/1.1 200 OK\r\nHost: a\r\n", 200, "200 OK"},
	        {"HTTP/1.0 503 Service Unavailable\n", 503, "503 Service Unavailable"},
	        {"HTTP/1.1 204\r\n", 204, "204"},
	        {"HTTP/1.1 301 \r\n", 301, "301 "},
	        {"HTTP/1.1 200 a\x1b[2Jb\x9b\xc3\xa4\x7f\n", 200, "200 a?[2Jb????"},
	};
	struct http_answer answer;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &answer), 0);
		assert_int_equal(answer.status, cases[i].status);
		assert_string_equal(answer.text, cases[i].rest);
	}
	assert_int_equal(parse("HTTP/1.1 200 a\0b\n", 17, &answer), 0);
	assert_string_equal(answer.text, "200 a?b");
}

static void bad_lines(void **state)
{
	static const char *const lines[] = {
	        "\n",
	        "\r\n",
	        "220 mail\r\n",
	        "HTTP/2 200\n",
	        "HTTP/1.1\n",
	        "HTTP/1.1 20\n",
	        "HTTP/1.1 2000 OK\n",
	        "HTTP/1.1 -20 OK\n",
	        "HTTP/1.1  200 OK\n",
	        "HTTP/1.x 200 OK\n",
	        "HTTP/1.1 200OK\n",
	};
	struct http_answer answer = {.status = 77};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (parse(lines[i], strlen(lines[i]), &answer) != HTTP_ANSWER_BAD)
			fail_msg("'%s'", lines[i]);
	assert_int_equal(answer.status, 77);
}

static void parts_of_a_line(void **state)
{
	char text[2 * HTTP_ANSWER_MAX] = "HTTP/1.1 200 ";
	struct http_answer answer;

	memset(text + 13, 'x', sizeof(text) - 13);
	for (size_t n = 0; n < HTTP_ANSWER_MAX; n++)
		assert_int_equal(parse(text, n, &answer), HTTP_ANSWER_UNFINISHED);
	for (size_t n = HTTP_ANSWER_MAX; n <= sizeof(text); n++) {
		assert_int_equal(parse(text, n, &answer), 0);
		assert_int_equal(strlen(answer.text), HTTP_ANSWER_MAX - 9);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(good_lines),
	        cmocka_unit_test(bad_lines),
	        cmocka_unit_test(parts_of_a_line),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
