/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers from the command line: all of the text must be the number, and it must be in range. */
#pragma once

/* -EINVAL if @text is not a decimal number, -ERANGE if it is outside @min..@max. */
int parse_long(const char *text, long min, long max, long *ret);

/* A number of at most one decimal, such as "33.3", times ten. */
int parse_tenths(const char *text, long min, long max, long *ret);

/* Seconds, with an optional fraction. */
int parse_seconds(const char *text, double *ret);
