/* SPDX-License-Identifier: BSD-2-Clause */
/* After a take-over: differences between the configuration and the service. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Logs each setting of the configuration that is not in force, because the service was made with
 * another one. Returns 0, or a negative errno with @err set. */
int config_drift_report(struct supervisor *sup, struct error *err);
