/* SPDX-License-Identifier: BSD-2-Clause */
/* Keeps the steering program of a service in force: reports attempts to replace it, and attaches it
 * again where one has succeeded. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Reports attempts that sup->guard has prevented, and checks every second what is in force. Returns
 * 0, or a negative errno with @err set. */
int steering_check_begin(struct supervisor *sup, struct error *err);

void steering_check_end(struct supervisor *sup);
