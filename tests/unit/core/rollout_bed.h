/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of core/rollout.c. */
#pragma once

#include "core/rollout.h"

/* Slots 0 to @n - 1. */
struct slots rollout_bed_first(unsigned int n);

/* rollout_next() at time 1, while an old worker lives. */
enum rollout_verdict rollout_bed_next(struct rollout *rollout, unsigned int spare,
                                      unsigned int *ret_slot);
