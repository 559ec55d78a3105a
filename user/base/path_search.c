/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/path_search.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char **path_search_candidates(const char *name, const char *path)
{
	const bool is_path = strchr(name, '/') != NULL;
	size_t n = 1, each;
	char **list, *text;

	if (!path)
		path = PATH_SEARCH_DEFAULT;
	for (const char *c = path; !is_path && *c; c++)
		n += *c == ':';
	each = (is_path ? 0 : strlen(path)) + 1 + strlen(name) + 1;
	list = calloc(n + 1, sizeof(*list) + each);
	if (!list)
		return NULL;
	text = (char *)(list + n + 1);
	if (is_path) {
		list[0] = strcpy(text, name);
		return list;
	}
	for (size_t i = 0; i < n; i++, text += each) {
		const int length = (int)strcspn(path, ":");

		snprintf(text, each, "%.*s%s%s", length, path, length ? "/" : "./", name);
		list[i] = text;
		path += length + 1;
	}
	return list;
}
