/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of `run`: one supervisor for each service of the configuration, and what they have in
 * common: signals, re-exec, systemd. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "supervise/supervisor_request.h"

/* Runs all services until they have ended. Returns the exit status, or a negative errno. */
int supervisors_run(const struct supervisor_request *requests, size_t n, struct error *err);
