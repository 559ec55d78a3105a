/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/json_limit.h"

#define FREE      1000 /* in any text */
#define BYTES_PER 64   /* bytes for each further one */

bool json_limit_allows(const char *text, size_t n)
{
	size_t opened = 0;

	for (size_t i = 0; i < n; i++)
		opened += text[i] == '{' || text[i] == '[';
	return opened <= FREE + n / BYTES_PER;
}
