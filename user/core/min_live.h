/* SPDX-License-Identifier: BSD-2-Clause */
/* How many workers a service needs to be ready: a number, or a percentage of its slots. Pure. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* {}: one worker. */
struct min_live {
	unsigned int number;
	bool is_percent;
};

/* Parses "2" or "50%". NULL: one worker. error_usage() if it is neither. */
int min_live_parse(const char *text, struct min_live *ret, struct error *err);

/* The number of workers for a service of @wanted slots: a percentage is rounded up, and at least
 * one worker is needed. Without slots, none is. */
unsigned int min_live_count(const struct min_live *it, unsigned int wanted);
