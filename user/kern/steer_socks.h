/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket array of an endpoint: each slot's listener. An endpoint that the service doesn't have
 * has only empty slots. */
#pragma once

#include <stdint.h>

#include "kern/steer.h"

/* Puts the listener @fd into a slot, or into RPD_SLOT_PARKING or RPD_SLOT_PROBE + n, and replaces
 * the listener that is there in the same step. Also marks it (steer_members.h). -EBUSY if a socket
 * array has the listener already. */
int steer_socks_put(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd);

/* Empties a slot; an empty slot is no error. */
int steer_socks_clear(struct steer *steer, unsigned int endpoint, unsigned int slot);

/* Empties the endpoint's slots from @first on. Does nothing if its socket array isn't open. */
void steer_socks_clear_from(struct steer *steer, unsigned int endpoint, unsigned int first);

/* The cookie of the listener in a slot; 0 if the slot is empty. */
uint64_t steer_socks_cookie(const struct steer *steer, unsigned int endpoint, unsigned int slot);
