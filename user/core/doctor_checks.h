/* SPDX-License-Identifier: BSD-2-Clause */
/* The findings of `reuseportd doctor`: a list of named checks. Plain data; printing is for view. */
#pragma once

#include <stddef.h>

#define CHECK_NAME_MAX 48
#define CHECK_TEXT_MAX 256

/* From best to worst. */
enum verdict {
	CHECK_OK,
	CHECK_NOTE, /* for information, nothing to do */
	CHECK_WARN, /* works, with a risk or a loss */
	CHECK_FAIL, /* reuseportd doesn't work like this */
	CHECK_MAX,
};

struct check {
	char name[CHECK_NAME_MAX];
	enum verdict verdict;
	char detail[CHECK_TEXT_MAX]; /* the finding */
	char advice[CHECK_TEXT_MAX]; /* what to do, "" = nothing */
};

/* All zero = empty. */
struct doctor_checks {
	struct check *rows;
	size_t n;
	size_t allocated;
};

/* "ok", "note", "warn" or "fail". */
const char *doctor_checks_verdict_name(enum verdict verdict);

/* Appends a row; @advice may be NULL. Longer texts are cut. -ENOMEM. */
int doctor_checks_add(struct doctor_checks *checks, enum verdict verdict, const char *name,
                      const char *advice, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

/* The worst verdict in the list; CHECK_OK if it is empty. */
enum verdict doctor_checks_worst(const struct doctor_checks *checks);

/* Frees the rows, and leaves an empty list. */
void doctor_checks_free(struct doctor_checks *checks);
