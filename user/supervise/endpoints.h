/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoints of a service that is run: added when a worker listens on them, and removed after a
 * reload that failed. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "core/listener.h"
#include "supervise/types.h"

/* Adds the endpoints of @listeners that the service does not have yet, and parks connections there.
 * Takes the service's lock if there is anything to add. Returns 0, or a negative errno with @err
 * set. */
int endpoints_add(struct supervisor *sup, const struct listener *listeners, size_t n,
                  struct error *err);

/* After a reload that failed: removes the endpoints on which only the failed workers listened. */
void endpoints_trim(struct supervisor *sup);
