/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/ask_supervisor.h"

int cmd_restart(struct invocation *i, struct error *err)
{
	return ask_supervisor_for_slots(i, "restart", err);
}
