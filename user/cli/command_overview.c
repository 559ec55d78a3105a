/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command_overview.h"

#include "cli/command.h"

void command_overview(FILE *out)
{
	fprintf(out,
	        "Usage: reuseportd COMMAND [OPTION...]\n"
	        "Deals the connections of a port evenly to its workers, in the kernel, and\n"
	        "replaces workers without refusing a connection.\n\n");
	for (const struct command *command = commands; command->name; command++)
		fprintf(out, "  %-11s  %s\n", command->name, command->summary);
	fprintf(out,
	        "\n`reuseportd COMMAND --help` describes a command.\n"
	        "Exit status: 0 done, 1 refused or failed, 2 bad usage.\n"
	        "`drain --wait`, `drain-host`, `deploy` and `rollout --watch` have more: see\n"
	        "their --help.\n");
}
