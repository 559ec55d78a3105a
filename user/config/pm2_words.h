/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of `args` and `node_args`, where PM2 does not read them as a shell would. */
#pragma once

/*
 * Splits @text at blanks as PM2 7 does. Quotes around a word are dropped, and such a word may
 * contain blanks; so may a value in NAME="VALUE", which keeps its quotes. All else is literal: a
 * backslash, an operator of a shell, a quote without an end. Empty words are dropped. Returns 0 or
 * -ENOMEM; *@ret is NULL if there is no word.
 */
int pm2_words_split(const char *text, char ***ret);
