/* SPDX-License-Identifier: BSD-2-Clause */
/* Map "probes": connections that go to one chosen listener, whatever the schedule says. */
#pragma once

#include <stdint.h>

#include "kern/steer.h"

/*
 * Steers connections from @source to the listener at @index of its endpoint's socket array (a slot,
 * or RPD_SLOT_PROBE + n) until steer_probes_remove(). They fail while no listener is there.
 */
int steer_probes_set(struct steer *steer, const struct rpd_probe *source, uint32_t index);

/* Ends one probe; an unknown one is no error. */
int steer_probes_remove(struct steer *steer, const struct rpd_probe *source);

/* Ends all probes, and takes the listeners that only probes can reach out of the socket arrays. */
void steer_probes_clear(struct steer *steer);
