/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Splits a command line into words, as a shell does: blanks separate words; '...' is literal; in
 * "..." a backslash quotes only " and backslash; elsewhere it quotes any character. Nothing is
 * expanded.
 */
#pragma once

enum words_result {
	WORDS_UNCLOSED_QUOTE = 1, /* a quote has no end, or the text ends with a backslash */
	WORDS_NEED_SHELL,         /* an unquoted operator, which only a shell understands */
};

/*
 * Splits @text. The caller frees *ret by strv_free(); it is NULL if there are no words. An operator
 * is an unquoted word such as && | ; >FILE 2>&1. Returns 0, an enum words_result, or -ENOMEM; sets
 * *ret only on 0.
 */
int words_split(const char *text, char ***ret);
