/* SPDX-License-Identifier: BSD-2-Clause */
/* The way back after a deployment: its old workers, which are held, get their slots again. Without
 * them, deployment_request.c deploys their command again. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "supervise/types.h"

/* Whether the version before the last deployment still has workers, which are held. */
bool deployment_return_is_possible(const struct supervisor *sup);

/* Gives these workers their slots back, at once, as if the deployment was still under way. @why:
 * NULL if a person asks for it. Returns 0, or a negative errno with @err set, and has then changed
 * nothing. */
int deployment_return(struct supervisor *sup, const char *why, struct error *err);

/* The same, if no worker of the version that was promoted lives: without them, no connection would
 * be answered. */
void deployment_return_unasked(struct supervisor *sup);
