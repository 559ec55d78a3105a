/* SPDX-License-Identifier: BSD-2-Clause */
/* The command `gate` of a deployment, which is asked before the start, before each step comes into
 * force, and before the promotion (rollout_open_gate()). It has the rights of `check`. */
#pragma once

#include "supervise/types.h"

/* The deployment has got an event: asks the gate, if it waits at one and the command doesn't run;
 * ends the command if it does not. */
void deployment_gate_update(struct supervisor *sup);

/* Ends the command, and asks no more. */
void deployment_gate_end(struct supervisor *sup);
