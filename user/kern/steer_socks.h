/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket array of an endpoint: each slot's listener. An endpoint that the service doesn't have
 * has only empty slots. A slot has an entry in force, and an idle one (RPD_CELL_MAX): functions
 * without "idle" mean the former. */
#pragma once

#include <stdint.h>

#include "kern/steer.h"

/* Puts the listener @fd into a slot, or into RPD_SLOT_PARKING or RPD_SLOT_PROBE + n, and replaces
 * the listener that is there in the same step. Also marks it (steer_members.h). -EBUSY if a socket
 * array has the listener already. */
int steer_socks_put(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd);

/* Empties a slot; an empty slot is no error. */
int steer_socks_clear(struct steer *steer, unsigned int endpoint, unsigned int slot);

/* Puts the listener into the slot's idle entry. */
int steer_socks_put_idle(struct steer *steer, unsigned int endpoint, unsigned int slot, int fd);

/* Empties the slot's idle entries, of all endpoints. */
void steer_socks_clear_idle(struct steer *steer, unsigned int slot);

/* Empties all idle entries, if steer_socks_note_no_idle() was not called after the last put into
 * one. */
void steer_socks_clear_all_idle(struct steer *steer);
void steer_socks_note_no_idle(struct steer *steer);

/* Empties both entries of all slots of the endpoint. Does nothing if its socket array isn't open.
 */
void steer_socks_clear_all(struct steer *steer, unsigned int endpoint);

/* The cookie of the listener in a slot; 0 if the slot is empty. */
uint64_t steer_socks_cookie(const struct steer *steer, unsigned int endpoint, unsigned int slot);
