/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

static size_t nearest_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_NAME_MAX + 1]; /* the last three rows of the usual table */
	const size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a >= NEAREST_NAME_MAX || n_b >= NEAREST_NAME_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			row[j] = nearest_min(above[j - 1] + (a[i - 1] != b[j - 1]),
			                     nearest_min(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = nearest_min(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[n_a % 3][n_b];
}

const char *nearest_find(const char *word, const char *(*name)(const void *data, size_t i),
                         const void *data, size_t n)
{
	/* A third of the letters may be wrong; in a word of two letters, none. */
	const size_t length = strlen(word);
	size_t best = length / 3 + 1;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *candidate = name(data, i);
		const size_t other = strlen(candidate);
		size_t distance = length > other ? length - other : other - length; /* at least */

		if (distance < best)
			distance = nearest_distance(word, candidate);
		if (distance < best) {
			best = distance;
			found = candidate;
		}
	}
	return found;
}
