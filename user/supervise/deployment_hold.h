/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers that are kept after the end of a deployment, for a way back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervise/types.h"

/* sup->deployment has ended: sets how long the workers that are held are kept. */
void deployment_hold(struct supervisor *sup, int64_t time);

/* Lets the workers that are held end, whether a deployment keeps them or not. Returns whether
 * sup->deployment kept them. */
bool deployment_hold_release(struct supervisor *sup);

/* Does the same, and writes it down. */
void deployment_hold_end(struct supervisor *sup);
