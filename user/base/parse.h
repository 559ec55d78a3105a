/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers from the command line: all of the text must be the number, and it must be in range. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/signal_name.h"

/* -EINVAL if @text is not a decimal number, -ERANGE if it is outside @min..@max. */
int parse_long(const char *text, long min, long max, long *ret);

/* A number of at most one decimal, such as "33.3", times ten. */
int parse_tenths(const char *text, long min, long max, long *ret);

/* The longest time that parse_duration() takes. */
#define PARSE_DURATION_MAX_S (366ll * 24 * 60 * 60)

/*
 * A time: "30s", "1500ms", "250us", "2m", "12h", "1d", with an optional fraction ("1.5s"); a plain
 * number is seconds. Nanoseconds, rounded down; 0 to PARSE_DURATION_MAX_S.
 */
int parse_duration(const char *text, int64_t *ret);

/* Bytes: "4096", or with K, M, G or T (powers of 1024), "1.5G". Rounded down. */
int parse_size(const char *text, uint64_t *ret);

/* yes/no, true/false, on/off, 1/0. */
int parse_bool(const char *text, bool *ret);
