/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a service's maps, and loading the steering program for its endpoints. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "kern/pins.h"
#include "kern/steer.h"

/* Makes and pins the service's maps, without any endpoint: stage FILLING. There is room to count
 * @max_conns open connections (0 = none will be). */
int steer_setup_maps(struct steer *steer, const struct pins *pins, uint32_t max_conns,
                     struct error *err);

/* Loads and pins the program for one more endpoint, and appends it to service->endpoints; makes the
 * service's maps first, as steer_setup_maps() does, if there are none yet. Returns its index. Not
 * attached yet. If it is killed before the end, pins are left of an endpoint that the service
 * doesn't have: steer_setup_remove_half_made(). */
int steer_setup_add_endpoint(struct steer *steer, const struct pins *pins,
                             const struct rpd_endpoint *endpoint, uint32_t max_conns,
                             struct error *err);

/* Takes the last endpoint away again; its slots are empty. Killed at any point it is there, or it
 * is half made. */
void steer_setup_remove_endpoint(struct steer *steer, const struct pins *pins);

/* Removes what a killed steer_setup_add_endpoint() has left. */
void steer_setup_remove_half_made(const struct steer *steer, const struct pins *pins);
