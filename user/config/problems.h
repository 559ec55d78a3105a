/* SPDX-License-Identifier: BSD-2-Clause */
/* All that is wrong with a file, or worth a warning, with its lines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

struct problem {
	unsigned int line; /* 0 = of no line in particular */
	bool warning;
	char *text; /* NULL: memory was short */
};

struct problems {
	const char *file; /* not owned; NULL: the command line */
	struct problem *list;
	size_t n, n_errors;
};

void problem_add(struct problems *problems, unsigned int line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void problem_warn(struct problems *problems, unsigned int line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* By line; those of the same line stay as they are. */
void problems_sort(struct problems *problems);

/* One a line: "FILE:LINE: TEXT", the errors or the warnings or both. */
void problems_print(FILE *out, const struct problems *problems, bool errors, bool warnings);

/* error_usage() with all the errors, or as many as there is room for; 0 if there is none. */
int problems_error(const struct problems *problems, struct error *err);

void problems_free(struct problems *problems);
