/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/ask_supervisor.h"

int cmd_start(struct invocation *i, struct error *err)
{
	return ask_supervisor_for_slots(i, "start", err);
}
