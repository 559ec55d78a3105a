/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"

static void texts(void **state)
{
	static const struct {
		const char *text, *line, *lines;
	} cases[] = {
	        {"", "", ""},
	        {"plain ~", "plain ~", "plain ~"},
	        {"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m", "\\x1b[31mred\\x1b[0m"},
	        {"a\nb\n", "a\\nb\\n", "a\n  b\n"},
	        {"a\n\n b", "a\\n\\n b", "a\n\n b"},
	        {"a\tb\r", "a\\tb\\r", "a\tb\\r"},
	        {"\x7f\x01", "\\x7f\\x01", "\\x7f\\x01"},
	        {"\xc2\x9b"
	         "31m",
	         "\\xc2\\x9b31m", "\\xc2\\x9b31m"}, /* U+009B, C1's ESC [ */
	        {"\x9b"
	         "31m",
	         "\\x9b31m", "\\x9b31m"},
	        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	         "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	        {"\xe2\x80\xae"
	         "x",
	         "\\xe2\\x80\\xaex", "\\xe2\\x80\\xaex"},               /* U+202E */
	        {"\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf"},               /* too long */
	        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
	        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"},
	        {"\xe2\x82", "\\xe2\\x82", "\\xe2\\x82"}, /* cut */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *line = escape_new(cases[i].text, ESCAPE_LINE);
		_cleanup_free_ char *lines = escape_new(cases[i].text, ESCAPE_LINES);

		assert_string_equal(line, cases[i].line);
		assert_string_equal(lines, cases[i].lines);
	}
}

static void cut(void **state)
{
	char buf[8];

	assert_int_equal(escape_text(buf, sizeof(buf),
	                             "abc\x1b"
	                             "def",
	                             ESCAPE_LINE),
	                 10);
	assert_string_equal(buf, "abc\\x1b");
	assert_int_equal(escape_text(buf, 7,
	                             "abc\x1b"
	                             "def",
	                             ESCAPE_LINE),
	                 10);
	assert_string_equal(buf, "abc");
	assert_int_equal(escape_text(NULL, 0, "abc", ESCAPE_LINE), 3);
}

/* Whatever comes in, what goes out is UTF-8 without control characters, and stays the same when it
 * is escaped again. */
static void random_bytes(void **state)
{
	seed_start("escape");
	for (int i = 0; i < 100000; i++) {
		char text[16];
		size_t n = seed_next(sizeof(text));
		_cleanup_free_ char *once = NULL, *twice = NULL;

		for (size_t at = 0; at < n; at++)
			text[at] = (char)(seed_next(4) ? seed_between(0x7e, 0xf8)
			                               : seed_between(1, 0xff));
		text[n] = '\0';
		once = escape_new(text, ESCAPE_LINE);
		twice = escape_new(once, ESCAPE_LINE);
		assert_string_equal(once, twice);
		for (const char *at = once; *at;) {
			uint32_t c;

			at += escape_read(at, &c);
			assert_false(escape_is_control(c));
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(texts),
	        cmocka_unit_test(cut),
	        cmocka_unit_test(random_bytes),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
