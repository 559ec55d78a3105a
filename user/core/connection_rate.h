/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections a second, out of what the kernel counted second by second. Pure. */
#pragma once

#include <stdint.h>
#include <reuseportd/abi.h>

/* The seconds that a rate is told of: the last whole ones. */
#define RATE_SECONDS 5
_Static_assert(RATE_SECONDS < RPD_RATE_SECONDS, "the present second is in the row, too");

/* Adds one CPU's row as it is in second @now: ret[i] is the second @now - 1 - i. What is older than
 * the row's memory is 0. */
void connection_rate_add(const struct rpd_rate *row, uint64_t now,
                         uint32_t ret[RPD_RATE_SECONDS - 1]);

/* Connections a second, mean of the last RATE_SECONDS. */
double connection_rate_mean(const uint32_t seconds[RPD_RATE_SECONDS - 1]);
