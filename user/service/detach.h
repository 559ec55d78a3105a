/* SPDX-License-Identifier: BSD-2-Clause */
/* `detach`: ends a service. Its workers keep running, and the kernel's hash chooses among them. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "service/service_remove.h"

/*
 * Removes service @name (NULL: the only one), whatever its state, and writes its name to @ret_name.
 * Refuses a service that is run, as its workers would be left without a supervisor; with @force
 * only while the supervisor lives. Returns an enum service_remove_outcome, or a negative errno with
 * @err set.
 */
int detach(const char *name, bool force, char ret_name[RPD_LABEL_MAX], struct error *err);
