/* SPDX-License-Identifier: BSD-2-Clause */
/* What one supervisor has to run. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/run_config.h"

struct supervisor_request {
	const struct run_config *config;
	/* Reads the service's configuration again, for a reload. NULL: it can't change. */
	int (*reread)(const char *service, struct run_config *ret, void *data, struct error *err);
	void *data;
	char *const *self; /* the command line of this process, for the re-exec by SIGUSR2 */
	bool stop;         /* take over the service, and stop it */
};
