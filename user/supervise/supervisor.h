/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `run`: starts a service's workers, keeps them running, replaces them without losing a connection.
 * May be killed at any time: workers and steering go on, and the next supervisor of the same
 * service takes over what it finds.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/run_config.h"

struct supervisor_request {
	const struct run_config *config;
	/* Reads the service's configuration anew, for a reload; NULL if it can't change. */
	int (*reread)(const char *service, struct run_config *ret, void *data, struct error *err);
	void *data;
	char *const *self; /* our own command line, for SIGUSR2 */
	bool stop;         /* take over what is there, and stop it */
};

/* Runs all of them until they have ended. Returns the exit status, or a negative errno. */
int supervisor_run(const struct supervisor_request *requests, size_t n, struct error *err);
