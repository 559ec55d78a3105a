/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "bed/unit.h"
#include "core/env.h"

static void set_and_find(void **state)
{
	_cleanup_strv_ char **env = NULL;

	assert_null(env_find(env, "A"));
	assert_int_equal(env_set(&env, "A=1"), 0);
	assert_int_equal(env_set(&env, "AB=2=3"), 0);
	assert_int_equal(env_set(&env, "C="), 0);
	assert_int_equal(env_set(&env, "A=4"), 0);
	assert_int_equal(env_set(&env, "A"), -EINVAL);
	assert_int_equal(env_set(&env, "=A"), -EINVAL);
	assert_int_equal(env_set(&env, ""), -EINVAL);
	assert_int_equal(strv_length(env), 3);
	assert_string_equal(env_find(env, "A"), "4");
	assert_string_equal(env_find(env, "AB"), "2=3");
	assert_string_equal(env_find(env, "C"), "");
	assert_null(env_find(env, "B"));
}

static void merge(void **state)
{
	_cleanup_strv_ char **env = NULL;
	char **more = NULL;

	assert_int_equal(env_merge(&env, NULL), 0);
	assert_null(env);
	assert_int_equal(env_set(&env, "A=1"), 0);
	assert_int_equal(env_set(&env, "AB=1"), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(strv_append(&more, i == 0 ? "B=0" : "B=2"), 0);
		assert_int_equal(strv_append(&more, i == 0 ? "A.=0" : "A=2"), 0);
	}
	assert_int_equal(env_merge(&env, more), 0);
	assert_int_equal(strv_length(env), 4);
	assert_string_equal(env[0], "A=2");
	assert_string_equal(env[1], "AB=1");
	assert_string_equal(env[2], "B=2");
	assert_string_equal(env[3], "A.=0");
}

/* A quadratic parser would take minutes. */
static void many_variables(void **state)
{
	enum { N = 100000 };
	_cleanup_strv_ char **env = NULL;
	_cleanup_free_ char *text = NULL;
	unsigned int line;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < N; i++)
			fprintf(file, "A%d=%d\n", i, round);
	fclose(file);
	assert_int_equal(env_parse(text, &env, &line), 0);
	assert_int_equal(strv_length(env), N);
	assert_string_equal(env[N - 1], "A99999=1");
}

static void names_of_variables(void **state)
{
	static const char *const good[] = {"A=", "_=x", "a_1Z=\"b c\"", "A=b=c"};
	static const char *const bad[] = {"",     "A",    "=A",   "\"A=b\"", "'A=b'",     "A-B=c",
	                                  "1A=b", " A=b", "A =b", "A.B=c",   "\xc3\xa4=1"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(env_is_setting(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(env_is_setting(bad[i]));
}

static void parse(void **state)
{
	static const char text[] =
	        "\xef\xbb\xbf# all of it\n"
	        "\n"
	        "PLAIN=a b \"c\"  \r\n"
	        "  export  SPACED = x # no comment\n"
	        "EMPTY=\n"
	        "SINGLE='a\\n\"b' \n"
	        "DOUBLE=\"a\\n\\\"b\\\\ \\x\"\n"
	        "LINES=\"one\n"
	        "two\"\n"
	        "\t# PLAIN=other\n"
	        "; PLAIN=other\n"
	        "BACK=C:\\\\x \\\"y\\ \n"
	        "GOES=on \\\nand\\\n on\n"
	        "SHELL_=\"\\$x \\`y\\\nz \\q\"\n"
	        "QUOTED=\"a # b\" # a comment\r\n"
	        "LITERAL='a # b'# 'a comment'\n"
	        "LAST=$PLAIN";
	static const char *const expected[] = {
	        "PLAIN=a b \"c\"",     "SPACED=x # no comment", "EMPTY=",          "SINGLE=a\\n\"b",
	        "DOUBLE=a\n\"b\\ \\x", "LINES=one\ntwo",        "BACK=C:\\x \"y ", "GOES=on and on",
	        "SHELL_=$x `yz \\q",   "QUOTED=a # b",          "LITERAL=a # b",   "LAST=$PLAIN",
	};
	_cleanup_strv_ char **env = NULL;
	unsigned int line = 77;

	assert_int_equal(env_parse(text, &env, &line), 0);
	assert_int_equal(line, 4); /* the first '#' without quotes */
	assert_int_equal(strv_length(env), ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(env[i], expected[i]);
}

static void values_that_differ(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
	} cases[] = {
	        {"A=1\nB=a#b", 2},      {"A=C:\\new", 1},         {"A=`b`", 1},  {"A=\nB=x\\", 2},
	        {"A='C:\\new # `'", 0}, {"A=\"a # b\" # c\n", 0}, {"A=b`c`", 0}, {"A=\n#`\n", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ char **env = NULL;
		unsigned int line = 7;

		assert_int_equal(env_parse(cases[i].text, &env, &line), 0);
		if (line != cases[i].line)
			fail_msg("'%s': line %u", cases[i].text, line);
	}
}

static void wrong_lines(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
	} cases[] = {
	        {"A", 1},      {"A=1\n\nB\nC=1", 3},  {"=1", 1},
	        {"A B=1", 1},  {"A=1\nB='x\ny\n", 2}, {"A=\"x\ny\"\nB=\"", 3},
	        {"A='x'y", 1}, {"A=\"x\ny\"\nB", 3},  {"A=x\\\ny\nB", 3},
	        {"A-B=1", 1},  {"A=1\n\"B=1\"", 2},   {"A=\"\\\n\"\nB", 3},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ char **env = NULL;
		unsigned int line = 0;

		assert_int_equal(env_parse(cases[i].text, &env, &line), ENV_BAD_LINE);
		assert_null(env);
		if (line != cases[i].line)
			fail_msg("'%s': line %u", cases[i].text, line);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(set_and_find),   cmocka_unit_test(merge),
	        cmocka_unit_test(many_variables), cmocka_unit_test(names_of_variables),
	        cmocka_unit_test(parse),          cmocka_unit_test(values_that_differ),
	        cmocka_unit_test(wrong_lines),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
