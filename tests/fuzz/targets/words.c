/* SPDX-License-Identifier: BSD-2-Clause */
/* The `command` of a configuration: the words are the same after they are quoted and split again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "base/words.h"
#include "fuzz.h"

static void write_quoted(FILE *file, const char *word)
{
	fputc('\'', file);
	for (; *word; word++)
		fprintf(file, *word == '\'' ? "'\\''" : "%c", *word);
	fputs("' ", file);
}

static void run(const char *text, size_t size)
{
	_cleanup_strv_ char **words = NULL, **again = NULL;
	_cleanup_free_ char *quoted = NULL;
	size_t n, length;
	FILE *file;

	if (words_split(text, &words) != 0)
		return;
	n = strv_length(words);
	FUZZ_CHECK((n == 0) == !words);
	file = open_memstream(&quoted, &length);
	for (size_t i = 0; i < n; i++)
		write_quoted(file, words[i]);
	fclose(file);
	FUZZ_CHECK(words_split(quoted, &again) == 0);
	FUZZ_CHECK(strv_length(again) == n);
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK(!strcmp(words[i], again[i]));
}

const struct fuzz_target fuzz_target = {run, 48};
