/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/ask_supervisor.h"

int cmd_pause(struct invocation *i, struct error *err)
{
	return ask_supervisor_about_deployment(i, ask_supervisor_new_request(i, "pause"), err);
}
