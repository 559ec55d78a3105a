/* SPDX-License-Identifier: BSD-2-Clause */
/* Environment files: the settings are the same after they are written out and read again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "core/env.h"
#include "fuzz.h"

static void write_quoted(FILE *file, const char *setting)
{
	const char *value = strchr(setting, '=') + 1;

	fprintf(file, "%.*s\"", (int)(value - setting), setting);
	for (; *value; value++)
		fprintf(file, "%s%c", strchr("\"\\`$", *value) ? "\\" : "", *value);
	fputs("\"\n", file);
}

static void check_written(char *const *env)
{
	_cleanup_strv_ char **again = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	unsigned int line;

	for (size_t i = 0; env && env[i]; i++)
		write_quoted(file, env[i]);
	fclose(file);
	FUZZ_CHECK(env_parse(text, &again, &line) == 0);
	FUZZ_CHECK(strv_length(env) == strv_length(again));
	for (size_t i = 0; env && env[i]; i++)
		FUZZ_CHECK(!strcmp(env[i], again[i]));
}

static void check_setting(char *const *env, const char *setting)
{
	const size_t n = strcspn(setting, "=");
	_cleanup_free_ char *name = strndup(setting, n);

	FUZZ_CHECK(env_is_setting(setting));
	FUZZ_CHECK(env_find(env, name) == setting + n + 1); /* it is the only one of its name */
}

static void run(const char *text, size_t size)
{
	_cleanup_strv_ char **env = NULL;
	unsigned int lines = 1, line = 0;
	size_t n;
	int r;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	r = env_parse(text, &env, &line);
	FUZZ_CHECK(line <= lines && (r == 0 || (r == ENV_BAD_LINE && line >= 1)));
	n = strv_length(env);
	FUZZ_CHECK(n <= lines);
	for (size_t i = 0; i < n && n < 1000; i++) /* this check is quadratic */
		check_setting(env, env[i]);
	check_written(env);
}

const struct fuzz_target fuzz_target = {run, 64};
