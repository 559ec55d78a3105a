/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of a round-robin ring. */
#pragma once

#include <stdint.h>

#include "core/schedule_plan.h"

/* Lays out the entries of @plan, so that those of each slot are spread evenly. */
void schedule_order_fill(const struct schedule_plan *plan, uint16_t ring[RPD_RING_MAX]);
