/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes known what has happened to the deployment: `events`, and the command `on-change`. */
#pragma once

#include <stdbool.h>

#include "supervise/types.h"

/* @event: also for the environment of the command. Commands of several events may run at the same
 * time, but not many; the last ones end with the service. */
void deployment_announce(struct supervisor *sup, const char *event);

/* Whether the process is one of these commands, and is waited for. */
bool deployment_announce_has_child(const struct supervisor *sup, uint32_t pid);

/* Ends all commands that run. */
void deployment_announce_end(struct supervisor *sup);
