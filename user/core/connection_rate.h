/* SPDX-License-Identifier: BSD-2-Clause */
/* New connections per second, from the kernel's counts of each second. Pure. */
#pragma once

#include <stdint.h>
#include <reuseportd/abi.h>

/* How many of the last whole seconds a rate covers. */
#define RATE_SECONDS 5
_Static_assert(RATE_SECONDS < RPD_RATE_SECONDS, "the current second is in the row, too");

/* Adds the row of one CPU, read in second @now: ret[i] counts second @now - 1 - i. Seconds that the
 * row no longer has count 0. */
void connection_rate_add(const struct rpd_rate *row, uint64_t now,
                         uint32_t ret[RPD_RATE_SECONDS - 1]);

/* The mean over the last RATE_SECONDS. */
double connection_rate_mean(const uint32_t seconds[RPD_RATE_SECONDS - 1]);
