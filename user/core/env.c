/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"

#define BLANKS " \t\r"

/* The length of NAME in NAME=VALUE; 0 if @setting has another form. */
static size_t env_name_length(const char *setting)
{
	const size_t n = strcspn(setting, "=");

	return setting[n] ? n : 0;
}

static bool env_is_name(const char *text, size_t n)
{
	if (!n || (*text >= '0' && *text <= '9'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
		            text[i]))
			return false;
	return true;
}

bool env_is_setting(const char *text)
{
	return env_is_name(text, env_name_length(text));
}

const char *env_find(char *const *env, const char *name)
{
	const size_t n = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

int env_set(char ***env, const char *setting)
{
	const size_t n = env_name_length(setting);
	char **at = *env, *copy;

	if (!n)
		return -EINVAL;
	while (at && *at && strncmp(*at, setting, n + 1) != 0)
		at++;
	if (!at || !*at)
		return strv_append(env, setting);
	copy = strdup(setting);
	if (!copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

struct env_entry {
	const char *setting;
	size_t at;
};

/* By name, and then by position. */
static int env_compare(const void *a, const void *b)
{
	const struct env_entry *x = a, *y = b;
	const size_t n_x = env_name_length(x->setting), n_y = env_name_length(y->setting);
	int r = memcmp(x->setting, y->setting, n_x < n_y ? n_x : n_y);

	if (!r)
		r = (n_x > n_y) - (n_x < n_y);
	return r ? r : (x->at > y->at) - (x->at < y->at);
}

/* The end of the entries with the same name as entry @i. */
static size_t env_find_end(const struct env_entry *sorted, size_t n, size_t i)
{
	const char *setting = sorted[i].setting;
	const size_t length = env_name_length(setting) + 1;

	while (i < n && !strncmp(sorted[i].setting, setting, length))
		i++;
	return i;
}

/* Of settings with the same name the first gets the text of the last; the others become NULL. */
static void env_unify(char **settings, const struct env_entry *sorted, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		char **first = &settings[sorted[i].at], *text = *first, **last;

		end = env_find_end(sorted, n, i);
		last = &settings[sorted[end - 1].at];
		*first = *last;
		*last = text;
		for (size_t later = i + 1; later < end; later++) {
			free(settings[sorted[later].at]);
			settings[sorted[later].at] = NULL;
		}
	}
}

int env_merge(char ***env, char **more)
{
	const size_t n = strv_length(*env) + strv_length(more);
	_cleanup_free_ struct env_entry *entries = calloc(n + 1, sizeof(*entries));
	size_t kept = 0;

	if (!entries || strv_extend(env, more) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		entries[i] = (struct env_entry){.setting = (*env)[i], .at = i};
	qsort(entries, n, sizeof(*entries), env_compare);
	env_unify(*env, entries, n);
	for (size_t i = 0; i < n; i++)
		if ((*env)[i])
			(*env)[kept++] = (*env)[i];
	if (*env)
		(*env)[kept] = NULL;
	return 0;
}

/* Reads the escape at @at. If @known doesn't contain the character after the backslash, the
 * backslash stays. An escaped newline is dropped. */
static const char *env_read_escape(const char *at, const char *known, char **to, unsigned int *line)
{
	const char c = at[1];

	if (c == '\n') {
		(*line)++;
		return at + 2;
	}
	if (!c || (known && !strchr(known, c))) {
		*(*to)++ = *at;
		return at + 1;
	}
	*(*to)++ = known && c == 'n' ? '\n' : known && c == 't' ? '\t' : c;
	return at + 2;
}

/* Reads a quoted value, from after the opening quote, to @to. Returns what follows the closing
 * quote; NULL if there is none. */
static const char *env_read_quoted(const char *at, char quote, char **to, unsigned int *line)
{
	while (*at && *at != quote) {
		if (*at == '\\' && quote == '"') {
			at = env_read_escape(at, "nt\"\\`$", to, line);
			continue;
		}
		if (*at == '\n')
			(*line)++;
		*(*to)++ = *at++;
	}
	return *at ? at + 1 : NULL;
}

/* Reads the rest of the line, without the blanks at its end. */
static const char *env_read_plain(const char *at, char **to, unsigned int *line)
{
	char *end = *to; /* after the last character that isn't blank */

	while (*at && *at != '\n') {
		const bool counts = !strchr(BLANKS, *at);

		if (*at == '\\')
			at = env_read_escape(at, NULL, to, line);
		else
			*(*to)++ = *at++;
		if (counts)
			end = *to;
	}
	*to = end;
	return at;
}

/* Whether dotenv and Node.js read a value without quotes otherwise. */
static bool env_differs(const char *value, size_t n)
{
	return n && (*value == '`' || memchr(value, '#', n) || memchr(value, '\\', n));
}

/* Reads NAME=VALUE to @to, which is large enough. Returns the end of its last line, or NULL.
 * *ret_differs: as env_differs(). */
static const char *env_read_setting(const char *at, char *to, unsigned int *line, bool *ret_differs)
{
	size_t n = strcspn(at, "=\n" BLANKS);

	if (!env_is_name(at, n) || at[n + strspn(at + n, BLANKS)] != '=')
		return NULL;
	*ret_differs = false;
	memcpy(to, at, n);
	to += n;
	*to++ = '=';
	at = strchr(at, '=') + 1;
	at += strspn(at, BLANKS);
	if (*at == '\'' || *at == '"') {
		at = env_read_quoted(at + 1, *at, &to, line);
		if (at)
			at += strspn(at, BLANKS);
		if (at && *at == '#')
			at += strcspn(at, "\n");
		if (!at || (*at && *at != '\n'))
			return NULL;
	} else {
		const char *value = at;

		at = env_read_plain(at, &to, line);
		*ret_differs = env_differs(value, (size_t)(at - value));
	}
	*to = '\0';
	return at;
}

/* Appends the settings of @text to @list, which has room for one a line. */
static int env_read_settings(const char *text, char *buf, char **list, unsigned int *ret_line)
{
	unsigned int line = 1;
	bool differs;

	*ret_line = 0;
	if (!strncmp(text, "\xef\xbb\xbf", 3)) /* a byte order mark */
		text += 3;
	for (;; text++, line++) {
		unsigned int last = line;

		text += strspn(text, BLANKS);
		if (!strncmp(text, "export ", 7))
			text += 7 + strspn(text + 7, BLANKS);
		if (*text == '#' || *text == ';') {
			text += strcspn(text, "\n");
		} else if (*text && *text != '\n') {
			text = env_read_setting(text, buf, &last, &differs);
			if (!text) {
				*ret_line = line;
				return ENV_BAD_LINE;
			}
			if (differs && !*ret_line)
				*ret_line = line;
			*list = strdup(buf);
			if (!*list++)
				return -ENOMEM;
		}
		if (!*text)
			return 0;
		line = last;
	}
}

static size_t env_count_lines(const char *text)
{
	size_t n = 1;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

int env_parse(const char *text, char ***env, unsigned int *ret_line)
{
	_cleanup_free_ char *buf = malloc(strlen(text) + 2);
	_cleanup_strv_ char **list = calloc(env_count_lines(text) + 1, sizeof(*list));
	int r = buf && list ? env_read_settings(text, buf, list, ret_line) : -ENOMEM;

	if (r == 0)
		r = env_merge(env, list);
	if (r == 0)
		TAKE_PTR(list);
	return r;
}
