/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers, times, sizes and switches, as users write them. All of the text must be the value.
 * Unless it says otherwise, a function returns 0, -EINVAL if the text has another form, or -ERANGE
 * if the value is out of range.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Parses a decimal number, @min to @max. */
int parse_long(const char *text, long min, long max, long *ret);

/* Parses a number with at most one decimal, such as "33.3", which may be followed by "%". *ret is
 * the number times ten, @min to @max. */
int parse_tenths(const char *text, long min, long max, long *ret);

/* The value has the right form, but is too large. */
#define PARSE_TOO_LARGE 1

/* The longest time that parse_duration() accepts. */
#define PARSE_DURATION_MAX_S (366ll * 24 * 60 * 60)

/*
 * Parses a time: "30s", "1500ms", "250us", "2m", "12h", "1d", with an optional fraction ("1.5s"); a
 * plain number is seconds. *ret is in nanoseconds, rounded down. Returns 0,
 * PARSE_TOO_LARGE if the time is longer than PARSE_DURATION_MAX_S, or -EINVAL.
 */
int parse_duration(const char *text, int64_t *ret);

/* Parses a size in bytes: "4096", or with K, M, G or T (powers of 1024), "1.5G". Rounded down. */
int parse_size(const char *text, uint64_t *ret);

/* Parses yes/no, true/false, on/off or 1/0, in any case. */
int parse_bool(const char *text, bool *ret);
