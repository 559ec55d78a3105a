/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Splits a command as a shell does: blanks separate words; '...' is taken literally; in "..." a
 * backslash quotes only " and backslash; elsewhere it quotes any character. Nothing is expanded.
 */
#pragma once

enum words_result {
	WORDS_UNCLOSED_QUOTE = 1, /* a quote has no end, or a backslash nothing after it */
	WORDS_NEED_SHELL,         /* an unquoted operator: what was meant needs a shell */
};

/*
 * *@ret: the words, to be freed by strv_free(); NULL if there is none. An operator is an unquoted
 * word such as && | ; >FILE 2>&1. Returns 0, enum words_result, or
 * -ENOMEM; *@ret is set on 0 only.
 */
int words_split(const char *text, char ***ret);
