/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command that a reload has set (`reload -- COMMAND`). No configuration has this command, but
 * the next supervisor has to start it. So the command is kept in the run directory, as long as the
 * service exists and its configuration has another command.
 *
 * The configuration's own command is kept with it: if the user has changed the configuration since
 * then, its command takes effect.
 */
#pragma once

#include "base/error.h"
#include "core/run_config.h"
#include "supervise/types.h"

/* Keeps @config's command and label, which are in force from now on. Returns 0, or a negative errno
 * with @err set. */
int persisted_command_keep(const struct supervisor *sup, const struct run_config *config,
                           struct error *err);

/* Before workers are taken over: puts the command that they run into the plan, if a reload has set
 * it and the configuration is the same as it was then. */
void persisted_command_restore(struct supervisor *sup);

/* Removes what is kept: the configuration's own command is in force. */
void persisted_command_forget(const struct supervisor *sup);
