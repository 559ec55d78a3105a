/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the commands of a deployment (check, gate, on-change), with the rights and the environment
 * of the workers. */
#pragma once

#include "base/error.h"
#include "supervise/health_probe.h"
#include "supervise/types.h"

struct deployment_command {
	const char *text;  /* for the shell */
	const char *event; /* REUSEPORTD_EVENT */
	int64_t timeout;   /* ns */
	health_probe_done done;
	void *data;
};

/* Starts a command for sup->deployment. *ret: as of health_probe_start(). */
int deployment_command_start(struct supervisor *sup, const struct deployment_command *command,
                             struct health_probe **ret, struct error *err);
