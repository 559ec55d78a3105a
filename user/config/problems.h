/* SPDX-License-Identifier: BSD-2-Clause */
/* The errors and warnings of a configuration, with their lines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

/* Of further problems only the errors are counted. */
#define PROBLEMS_MAX 1000

struct problem {
	unsigned int line; /* 0 = not of a particular line */
	bool warning;
	char *text; /* NULL: memory was short */
};

struct problems {
	const char *file;     /* not owned; NULL: the command line */
	struct problem *list; /* the last one says that there are more, if n > PROBLEMS_MAX */
	size_t n, n_errors;
};

/* Adds an error, or a warning. */
void problems_add(struct problems *problems, unsigned int line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void problems_warn(struct problems *problems, unsigned int line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Whether further problems are only counted. */
bool problems_is_full(const struct problems *problems);

/* Sorts by line. Problems of the same line keep their order. */
void problems_sort(struct problems *problems);

/* Prints the errors, the warnings or both as lines "FILE:LINE: TEXT". */
void problems_print(FILE *out, const struct problems *problems, bool errors, bool warnings);

/* error_usage() with all errors, or with as many as there is room for; 0 if there are none. */
int problems_error(const struct problems *problems, struct error *err);

void problems_free(struct problems *problems);
