/* SPDX-License-Identifier: BSD-2-Clause */
/* The tun device at one end of the link. */
#pragma once

#include "options.h"

#define DEVICE_MTU 1500

/*
 * Creates the device of @end in its network namespace, adds its addresses, brings it up, and sets
 * @end->tun. Ends the program on failure.
 */
void device_open(struct end *end);
