/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls a function for each service of this host. */
#pragma once

#include "base/error.h"

/*
 * @patience_ms: how long the locks of all services together are waited for; then a service with a
 * busy lock is SERVICE_LOCKED. 0 = as pins_set_waiting() was called. Returns 0, or a
 * negative errno with @err set.
 */
int service_each(void (*visit)(const char *name, void *data), void *data, unsigned int patience_ms,
                 struct error *err);
