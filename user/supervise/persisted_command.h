/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command that a reload has set. It is in no command line and in no file, and yet the next
 * supervisor has to start it. So it is kept in the run directory, as long as the service exists and
 * runs another command than the configuration says.
 *
 * The configuration's own command is kept with it: if the user then runs another one, that counts.
 */
#pragma once

#include "base/error.h"
#include "core/run_config.h"
#include "supervise/types.h"

struct json_object;

/* A command from a JSON array, to be freed by strv_free(). NULL: not a command, or out of memory.
 */
char **persisted_command_parse(struct json_object *array);

/* Keeps @config's command and label, which are in force from now on. */
int persisted_command_keep(const struct supervisor *sup, const struct run_config *config,
                           struct error *err);

/* Before workers are taken over: puts the command that they run into the plan, if a reload has set
 * it and the configuration is the same as it was then. */
void persisted_command_restore(struct supervisor *sup);

/* Removes what is kept: the configuration's own command is in force. */
void persisted_command_forget(const struct supervisor *sup);
