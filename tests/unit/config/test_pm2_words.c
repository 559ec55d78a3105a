/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_words.h"

#include <string.h>

#include "base/strv.h"
#include "bed/unit.h"

/* What the regular expression of PM2 7.0.4 makes of each text. */
static void words(void **state)
{
	static const struct {
		const char *text;
		const char *words[8];
	} cases[] = {
	        {"", {NULL}},
	        {" \t", {NULL}},
	        {"a  b\tc\n", {"a", "b", "c"}},
	        {"start -p 3000", {"start", "-p", "3000"}},
	        {"--name \"John Doe\" 'x y'", {"--name", "John Doe", "x y"}},
	        {"--x='a b' --y=\"c d\" --z=e", {"--x='a b'", "--y=\"c d\"", "--z=e"}},
	        {"\"\" '' ' ' a", {"a"}},
	        {"it's a\\ b", {"it's", "a\\", "b"}},
	        {"\"q\"t 'u'v", {"q", "t", "u", "v"}},
	        {"a & b; c | d", {"a", "&", "b;", "c", "|", "d"}},
	        {"\"open", {"\"open"}},
	        {"' x", {"x"}},
	        {"a=b=\"c d\"", {"a=b=\"c", "d\""}},
	        {"=\"c d\"", {"=\"c", "d\""}},
	        {"$HOME *", {"$HOME", "*"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ char **got = NULL;
		size_t n = 0;

		assert_int_equal(pm2_words_split(cases[i].text, &got), 0);
		for (; cases[i].words[n]; n++)
			if (n >= strv_length(got) || strcmp(got[n], cases[i].words[n]) != 0)
				fail_msg("%s: word %zu is not %s", cases[i].text, n,
				         cases[i].words[n]);
		if (strv_length(got) != n)
			fail_msg("%s: %zu words", cases[i].text, strv_length(got));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(words)};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
