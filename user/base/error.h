/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors for people. A function that can fail in a way that the user must know about takes a
 * `struct error *` as its last argument. On failure it fills that in and returns a negative errno.
 * The text says what failed, on which worker, port and pid, why, and what to do. main() prints it,
 * once.
 *
 * A caller that has no use for the text passes NULL.
 */
#pragma once

#define ERROR_TEXT_MAX 4096

/* Exit statuses of the executable. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,   /* refused, or failed */
	EXIT_USAGE = 2,     /* bad input */
	EXIT_NOT_EMPTY = 3, /* drain --wait, drain-host: the time was over before all was empty */
};

struct error {
	int status; /* enum exit_status, for main() only */
	char text[ERROR_TEXT_MAX];
};

/* Sets status EXIT_REFUSED and the formatted text. Returns @code: a negative errno, or a positive
 * outcome that the caller documents. */
int error_set(struct error *err, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The same for bad input: sets status EXIT_USAGE, and returns -EINVAL. */
int error_usage(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends text, such as a list of candidates, to an error that is set already. Returns @code. */
int error_add(struct error *err, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
