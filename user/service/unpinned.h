/* SPDX-License-Identifier: BSD-2-Clause */
/* A user deleted the pins of a service by hand: its steering program goes on, and nothing can
 * change it. */
#pragma once

#include "base/error.h"

/* Adds to @err, which says that there is no service, what there is in its place: a port of this
 * network namespace with a steering program that no service has pinned; and what to do. */
void unpinned_explain(struct error *err);
