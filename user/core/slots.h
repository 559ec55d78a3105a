/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of slot numbers, and its form on the command line: "3", "0-7", "1,4-6". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct slots {
	size_t n;
	uint16_t at[RPD_SLOT_MAX]; /* ascending, each once */
};

/* Adds the slots that @text names. error_usage() on bad input. */
int slots_parse(struct slots *slots, const char *text, struct error *err);

/* Whether @text is meant as a list of slots: it begins with a digit, unlike the name of a service.
 */
bool slots_is_list(const char *text);

/* Writes the set as on the command line, such as "0-3,7". If it doesn't fit into @size bytes it is
 * cut after a whole number, and "..." is added. Returns @buf. */
const char *slots_format(const struct slots *slots, char *buf, size_t size);
