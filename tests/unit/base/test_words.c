/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "base/words.h"
#include "bed/seed.h"
#include "bed/unit.h"

static void split(void **state)
{
	static const struct {
		const char *text;
		const char *words[6];
	} cases[] = {
	        {"node dist/main.js", {"node", "dist/main.js"}},
	        {"  a \t b\n", {"a", "b"}},
	        {"", {NULL}},
	        {" \t ", {NULL}},
	        {"a 'b c' d", {"a", "b c", "d"}},
	        {"a \"b 'c'\" d", {"a", "b 'c'", "d"}},
	        {"a'b'\"c\"d", {"abcd"}},
	        {"'' \"\"", {"", ""}},
	        {"a\\ b", {"a b"}},
	        {"'a\\b' \"a\\b\\\"\\\\\"", {"a\\b", "a\\b\"\\"}},
	        {"\\'a", {"'a"}},
	        {"$HOME *.js ~ `x` #y", {"$HOME", "*.js", "~", "`x`", "#y"}},
	        {"a=b;c a>b a&b", {"a=b;c", "a>b", "a&b"}},
	        {"sh -c 'a && b; c > d'", {"sh", "-c", "a && b; c > d"}},
	        {"a '&&' \\; \"2>&1\"", {"a", "&&", ";", "2>&1"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ char **words = NULL;
		size_t n = 0;

		assert_int_equal(words_split(cases[i].text, &words), 0);
		while (cases[i].words[n])
			n++;
		if (strv_length(words) != n)
			fail_msg("'%s': %zu words", cases[i].text, strv_length(words));
		for (size_t w = 0; w < n; w++)
			assert_string_equal(words[w], cases[i].words[w]);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
	        {"a 'b", WORDS_UNCLOSED_QUOTE},      {"a \"b", WORDS_UNCLOSED_QUOTE},
	        {"a \"b\\\"", WORDS_UNCLOSED_QUOTE}, {"a\\", WORDS_UNCLOSED_QUOTE},
	        {"a && b", WORDS_NEED_SHELL},        {"a | b", WORDS_NEED_SHELL},
	        {"a; b", WORDS_NEED_SHELL},          {"a &", WORDS_NEED_SHELL},
	        {"a > b", WORDS_NEED_SHELL},         {"a >b", WORDS_NEED_SHELL},
	        {"a 2>&1", WORDS_NEED_SHELL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *none = NULL, **words = &none;

		if (words_split(cases[i].text, &words) != cases[i].r)
			fail_msg("'%s'", cases[i].text);
		assert_ptr_equal(words, &none);
	}
}

#define WORD_MAX 12

/* Writes a word in one of the possible ways. */
static void write_word(char *to, const char *word)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-./=";

	to += strlen(to);
	if (!*word)
		strcpy(to, seed_next(2) ? "''" : "\"\"");
	for (; *word; word++) {
		const bool plain = strchr(letters, *word) != NULL;
		const unsigned int how = seed_next(plain ? 4 : 3);

		if (how == 3)
			to += sprintf(to, "%c", *word);
		else if (how == 0 && *word != '\'')
			to += sprintf(to, "'%c'", *word);
		else if (how == 1)
			to += sprintf(to, strchr("\"\\", *word) ? "\"\\%c\"" : "\"%c\"", *word);
		else
			to += sprintf(to, "\\%c", *word);
	}
}

/* A word is unchanged however it is quoted. */
static void quoted_words_are_unchanged(void **state)
{
	seed_start("words");
	for (int round = 0; round < 5000; round++) {
		char given[4][WORD_MAX] = {0}, text[4 * (4 * WORD_MAX + 3)] = "";
		const unsigned int n = seed_next(4);
		_cleanup_strv_ char **words = NULL;

		for (unsigned int w = 0; w < n; w++) {
			for (unsigned int i = seed_next(WORD_MAX); i > 0; i--)
				given[w][i - 1] = (char)(1 + seed_next(255));
			write_word(text, given[w]);
			strcat(text, seed_next(2) ? " " : " \t");
		}
		if (words_split(text, &words) != 0 || strv_length(words) != n)
			fail_msg("%s", text);
		for (unsigned int w = 0; w < n; w++)
			assert_string_equal(words[w], given[w]);
	}
}

/* Any text is split or refused; the sanitizers see anything else. */
static void random_text(void **state)
{
	static const char letters[] = "ab '\"\\;&|<>2\n\t$";

	seed_start("any text");
	for (int round = 0; round < 20000; round++) {
		char text[24] = "";
		_cleanup_strv_ char **words = NULL;
		size_t total = 0;
		int r;

		for (unsigned int i = seed_next(sizeof(text)); i > 0; i--)
			text[i - 1] = letters[seed_next(sizeof(letters) - 1)];
		r = words_split(text, &words);
		assert_in_range(r, 0, WORDS_NEED_SHELL);
		for (size_t w = 0; r == 0 && w < strv_length(words); w++)
			total += strlen(words[w]);
		assert_true(total <= strlen(text));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(split),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(quoted_words_are_unchanged),
	        cmocka_unit_test(random_text),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
