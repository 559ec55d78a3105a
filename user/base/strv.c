/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/strv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t strv_length(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

int strv_append(char ***v, const char *text)
{
	const size_t n = strv_length(*v);
	char *copy = strdup(text);
	char **grown = copy ? realloc(*v, (n + 2) * sizeof(*grown)) : NULL;

	if (!grown) {
		free(copy);
		return -ENOMEM;
	}
	grown[n] = copy;
	grown[n + 1] = NULL;
	*v = grown;
	return 0;
}

int strv_extend(char ***v, char **more)
{
	const size_t n = strv_length(*v), n_more = strv_length(more);
	char **grown = more ? realloc(*v, (n + n_more + 1) * sizeof(*grown)) : *v;

	if (more && !grown)
		return -ENOMEM;
	if (more)
		memcpy(grown + n, more, (n_more + 1) * sizeof(*grown));
	free(more);
	*v = grown;
	return 0;
}

int strv_copy(char *const *v, char ***ret)
{
	_cleanup_strv_ char **copy = v ? calloc(strv_length(v) + 1, sizeof(*copy)) : NULL;

	if (v && !copy)
		return -ENOMEM;
	for (size_t i = 0; v && v[i]; i++) {
		copy[i] = strdup(v[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	*ret = TAKE_PTR(copy);
	return 0;
}

bool strv_equal(char *const *a, char *const *b)
{
	const size_t n = strv_length(a);

	if (n != strv_length(b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

void strv_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}
