/* SPDX-License-Identifier: BSD-2-Clause */
/* What clients of `web --admin` may do: the same as the commands of these names do. */
#pragma once

#include "web/actions.h"

/* Carries out the action, and notes in the events of the service by which right the client has
 * asked for it. */
action_function web_action;
