/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include "cli/show.h"

/* Waits until the slots, which are drained, are empty; prints what it came to. Returns the exit
 * status, or a negative errno with @err set. */
int cmd_drain_wait(struct invocation *i, struct service *service, const struct observed *observed,
                   const struct slots *slots, struct error *err);
