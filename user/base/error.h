/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors for people. A function that can fail in a way that a user must hear of takes a
 * `struct error *` last, and on failure fills it and returns a negative errno. The text says what
 * failed, on which worker, port and pid, why, and what to do. It is printed once, by main().
 */
#pragma once

#define ERROR_TEXT_MAX 4096

/* Exit statuses of the executable. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,   /* refused, or failed */
	EXIT_USAGE = 2,     /* bad input */
	EXIT_NOT_EMPTY = 3, /* drain --wait: the time was over before the workers were empty */
};

struct error {
	int status; /* enum exit_status */
	char text[ERROR_TEXT_MAX];
};

/* Fills @err with status 1 and the formatted text. Returns @code, which must be negative. */
int error_set(struct error *err, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The same for bad input: status 2. Returns -EINVAL. */
int error_usage(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds more text (a list of candidates, say) to an error that is set. Returns @code. */
int error_add(struct error *err, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
