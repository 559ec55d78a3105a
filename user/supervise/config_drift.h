/* SPDX-License-Identifier: BSD-2-Clause */
/* After a take-over: differences between the configuration and the service. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

/* Logs what of the configuration is not in force, because the service was made with another one. */
int config_drift_report(struct supervisor *sup, struct error *err);
