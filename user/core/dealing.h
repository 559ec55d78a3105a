/* SPDX-License-Identifier: BSD-2-Clause */
/* How a service deals its connections: the settings of a schedule that are not those of a slot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

/* Times are in nanoseconds; 0 = off. All zero are the defaults. */
struct dealing {
	enum rpd_policy policy;
	int64_t skip_stuck;   /* a worker that accepts nothing for this long is skipped */
	int64_t slow_start;   /* of least-connections: how long a worker is young */
	unsigned int choices; /* of least-connections: how many workers are compared; 0 = default */
};

/* Puts the settings into a schedule. */
void dealing_apply(const struct dealing *dealing, struct rpd_schedule *s);

/* The settings of a schedule. */
struct dealing dealing_read(const struct rpd_schedule *s);

/* Whether a schedule has these settings. */
bool dealing_is_of(const struct dealing *dealing, const struct rpd_schedule *s);

bool dealing_equal(const struct dealing *a, const struct dealing *b);
