/* SPDX-License-Identifier: BSD-2-Clause */
/* Map "former": the workers of `run` that are out of their slots, by their numbers. */
#pragma once

#include <stdint.h>

#include "kern/steer.h"

/* Each function returns 0 or a negative errno: -ENOENT if there is no row @number. */
int steer_former_get(const struct steer *steer, uint32_t number, struct rpd_former *ret);
int steer_former_set(struct steer *steer, uint32_t number, const struct rpd_former *row);
int steer_former_remove(struct steer *steer, uint32_t number);

/* Steps through the numbers, in no order: the number after *@number, or the first if that is NULL.
 * -ENOENT at the end. */
int steer_former_next(const struct steer *steer, const uint32_t *number, uint32_t *ret);
