/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a service's maps, and loading the steering program for its endpoints. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "kern/pins.h"
#include "kern/steer.h"

/* Makes and pins the service's maps, without any endpoint: stage FILLING. @max_conns: how many open
 * connections can be counted (0 = none). */
int steer_setup_maps(struct steer *steer, const struct pins *pins, uint32_t max_conns,
                     struct error *err);

/* Loads the program for the next endpoint already now: the verifier takes some time, and
 * meanwhile connections to a listener that has just been opened would not be steered. The service
 * has maps. Returns 0, or a negative errno with @err set. */
int steer_setup_prepare(struct steer *steer, struct error *err);

/*
 * Loads and pins the program for one more endpoint, which gets the first free entry of
 * service->endpoints. If the service has no maps yet, steer_setup_maps() makes them. Returns the
 * endpoint's index, or a negative errno with @err set. The program is not attached yet. A kill in
 * between leaves pins of an endpoint that the service doesn't have: steer_setup_remove_half_made()
 * removes them.
 */
int steer_setup_add_endpoint(struct steer *steer, const struct pins *pins,
                             const struct rpd_endpoint *endpoint, uint32_t max_conns,
                             struct error *err);

/* Pins again what is open and not pinned any more. A pin of another service is an error. Returns 0,
 * or a negative errno with @err set. */
int steer_setup_pin_missing(const struct steer *steer, const struct pins *pins, struct error *err);

/*
 * Removes endpoint @index, and frees its entry. The others keep their numbers. If the command is
 * killed in between, the endpoint is complete, or half made as after steer_setup_add_endpoint().
 *
 * The kernel's group keeps the program, with the listeners that are in the slots, until its last
 * member has closed. A listener that the service may admit again must be taken out of its slot
 * before.
 */
void steer_setup_remove_endpoint(struct steer *steer, const struct pins *pins, unsigned int index);

/* Removes what a killed steer_setup_add_endpoint() or steer_setup_remove_endpoint() has left. */
void steer_setup_remove_half_made(struct steer *steer, const struct pins *pins);
