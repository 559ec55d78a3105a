/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of slot numbers, as the command line names them: "3", "0-7", "1,4-6". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct slots {
	size_t n;
	uint16_t at[RPD_SLOT_MAX]; /* ascending, each once */
};

/* Adds what @text names. Bad input is error_usage(). */
int slots_parse(struct slots *slots, const char *text, struct error *err);

/* Whether @text is meant as a slot list: it begins with a digit. Names of services don't. */
_Bool slots_is_list(const char *text);

/* The set as the command line names it, such as "0-3,7". What doesn't fit @size is cut off behind
 * the last whole number, and "..." put there. Returns @buf. */
const char *slots_format(const struct slots *slots, char *buf, size_t size);
