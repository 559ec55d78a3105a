/* SPDX-License-Identifier: BSD-2-Clause */
/* What one supervisor has to run. */
#pragma once

#include <stdbool.h>

#include "core/run_config.h"

struct args;
struct load_result;

struct supervisor_request {
	const struct run_config *config;
	/* The command line that names the file of the configuration, and what the file had; NULL:
	 * the configuration can't change. The same for all services of a process. */
	const struct args *args;
	const struct load_result *loaded;
	char *const *self; /* the command line of this process, for the re-exec by SIGUSR2 */
	bool stop;         /* take over the service, and stop it */
};
