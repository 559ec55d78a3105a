/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"

#define BLANKS    " \t\n\r\v\f"
#define OPERATORS "&|;<>"

struct word {
	char *text; /* has room for the whole input */
	size_t n;
	bool quoted; /* at least in part */
};

static void words_append(struct word *word, char c)
{
	word->text[word->n++] = c;
}

/* Reads from after the opening quote. Returns what follows the closing quote, or NULL if there is
 * none. */
static const char *words_read_quoted(const char *at, char quote, struct word *word)
{
	word->quoted = true;
	for (; *at && *at != quote; at++) {
		if (*at == '\\' && quote == '"' && at[1] && strchr("\"\\", at[1]))
			at++;
		words_append(word, *at);
	}
	return *at ? at + 1 : NULL;
}

/* Reads one word. Returns what follows it, or NULL if a quote has no end. */
static const char *words_read_word(const char *at, struct word *word)
{
	word->n = 0;
	word->quoted = false;
	while (at && *at && !strchr(BLANKS, *at)) {
		const char c = *at++;

		if (c == '\'' || c == '"') {
			at = words_read_quoted(at, c, word);
		} else if (c != '\\') {
			words_append(word, c);
		} else if (*at) {
			word->quoted = true;
			words_append(word, *at++);
		} else {
			return NULL;
		}
	}
	word->text[word->n] = '\0';
	return at;
}

/* && || | ; & and redirections: > 2>&1 <FILE */
static bool words_is_operator(const struct word *word)
{
	const char *after = word->text + strspn(word->text, "0123456789");

	return !word->quoted && word->n &&
	       (strspn(word->text, OPERATORS) == word->n || word->text[word->n - 1] == ';' ||
	        *after == '<' || *after == '>');
}

int words_split(const char *text, char ***ret)
{
	_cleanup_strv_ char **words = NULL;
	_cleanup_free_ char *buf = malloc(strlen(text) + 1);
	struct word word = {.text = buf};
	size_t n = 0;

	/* The last word may have one character, and no blank behind it. */
	words = calloc(strlen(text) / 2 + 2, sizeof(*words));
	if (!buf || !words)
		return -ENOMEM;
	for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
		text = words_read_word(text, &word);
		if (!text)
			return WORDS_UNCLOSED_QUOTE;
		if (words_is_operator(&word))
			return WORDS_NEED_SHELL;
		words[n] = strdup(word.text);
		if (!words[n++])
			return -ENOMEM;
	}
	*ret = n ? TAKE_PTR(words) : NULL;
	return 0;
}
