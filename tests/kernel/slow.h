/* SPDX-License-Identifier: BSD-2-Clause */
/* How much longer than usual things may take: RPD_SLOW in the environment, such as 10 on an
 * emulated machine (vmtest). What a test waits for gets that much more time. */
#pragma once

#include <stdlib.h>

static inline int slow(void)
{
	const char *text = getenv("RPD_SLOW");
	const int factor = text ? atoi(text) : 1;

	return factor > 1 ? factor : 1;
}
