/* SPDX-License-Identifier: BSD-2-Clause */
/* A canary of a service with one worker is a second one, in a slot that the service has for as long
 * as the deployment lasts. Its number is written down before the slot is added, and until it is
 * dropped: the next supervisor completes what one that is killed has begun. */
#pragma once

#include "base/error.h"
#include "supervise/deployment_state.h"

/* Chooses the slot; adds nothing yet. Returns 0, or -ENOSPC with @err set. */
int deployment_slot_choose(const struct supervisor *sup, struct deployment *it, struct error *err);

/* Adds the slot that is chosen, unless the service has it. Returns 0, or a negative errno with @err
 * set. */
int deployment_slot_add(struct supervisor *sup, const struct deployment *it, struct error *err);

/* sup->deployment has ended, and is written down: drops the slot. */
void deployment_slot_drop(struct supervisor *sup);
