/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/path_search.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At most PATH_SEARCH_MAX. */
static size_t path_search_count(const char *path)
{
	size_t n = 1;

	for (; *path; path++)
		n += *path == ':';
	return n < PATH_SEARCH_MAX ? n : PATH_SEARCH_MAX;
}

char **path_search_candidates(const char *name, const char *path)
{
	const bool is_path = strchr(name, '/') != NULL;
	size_t n, size;
	char **list, *text;

	if (!path)
		path = PATH_SEARCH_DEFAULT;
	n = is_path ? 1 : path_search_count(path);
	size = strlen(path) + n * (sizeof("./") + strlen(name));
	list = calloc(1, (n + 1) * sizeof(*list) + size);
	if (!list)
		return NULL;
	text = (char *)(list + n + 1);
	if (is_path) {
		list[0] = strcpy(text, name);
		return list;
	}
	for (size_t i = 0; i < n; i++) {
		const int length = (int)strcspn(path, ":");

		list[i] = text;
		text = stpcpy(mempcpy(text, length ? path : ".", length ? length : 1), "/");
		text = stpcpy(text, name) + 1;
		path += length + 1;
	}
	return list;
}
