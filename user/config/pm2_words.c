/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"

#define BLANKS " \t\n\r\v\f"
#define QUOTES "\"'"

/* The length of the quoted text at @at, with its quotes; 0 if there is none. */
static size_t pm2_words_quoted(const char *at)
{
	const char *end = *at && strchr(QUOTES, *at) ? strchr(at + 1, *at) : NULL;

	return end ? (size_t)(end + 1 - at) : 0;
}

/* The length of the word at @at. */
static size_t pm2_words_length(const char *at)
{
	const size_t name = strcspn(at, BLANKS QUOTES "=");
	const size_t value = name && at[name] == '=' ? pm2_words_quoted(at + name + 1) : 0;
	const size_t quoted = pm2_words_quoted(at);

	return value ? name + 1 + value : quoted ? quoted : strcspn(at, BLANKS);
}

int pm2_words_split(const char *text, char ***ret)
{
	/* Each word has a character, and quotes around it or a blank behind it, but for the last.
	 */
	_cleanup_strv_ char **words = calloc(strlen(text) / 2 + 2, sizeof(*words));
	size_t n, n_words = 0;

	if (!words)
		return -ENOMEM;
	for (text += strspn(text, BLANKS); *text; text += n + strspn(text + n, BLANKS)) {
		const char *word = text;
		size_t length = n = pm2_words_length(text);

		if (strchr(QUOTES, *word) && word[n - 1] == *word) {
			word++;
			length = n < 2 ? 0 : n - 2;
		}
		if (strspn(word, BLANKS) >= length)
			continue;
		words[n_words] = strndup(word, length);
		if (!words[n_words++])
			return -ENOMEM;
	}
	*ret = n_words ? TAKE_PTR(words) : NULL;
	return 0;
}
