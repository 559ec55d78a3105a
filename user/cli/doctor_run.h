/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether `run` works here: tries it. */
#pragma once

#include "core/doctor_checks.h"

/* Runs a service with one worker, which ends at once: `run` itself, so that nothing it needs is
 * left out. Nothing is left of the service, and no command lists it. Adds a row. -ENOMEM. */
int doctor_run_check(struct doctor_checks *checks);
