/* SPDX-License-Identifier: BSD-2-Clause */
/* The command `check` of a deployment, which judges the new version too. It has the rights and the
 * environment of the new workers. */
#pragma once

#include <stdint.h>

#include "core/verdict.h"
#include "supervise/types.h"

/* Starts the command, if it is time for it and none runs. */
void deployment_check_run(struct supervisor *sup, int64_t now);

/* What the commands have said so far. */
struct verdict_count deployment_check_count(const struct supervisor *sup);

/* Ends the command that runs. */
void deployment_check_end(struct supervisor *sup);
