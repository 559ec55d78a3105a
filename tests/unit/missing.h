/* SPDX-License-Identifier: BSD-2-Clause */
/* Which programs are on the host is nothing that most tests of files are about. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/problems.h"

/* Takes out the warnings of commands that are not there; returns how many there were. */
static inline size_t missing_drop(struct problems *problems)
{
	const size_t n = problems->n;

	problems->n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct problem it = problems->list[i];

		if (it.warning && strstr(it.text, "there is no program '"))
			free(it.text);
		else
			problems->list[problems->n++] = it;
	}
	return n - problems->n;
}
