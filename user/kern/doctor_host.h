/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of `reuseportd doctor` that concern the host, not a service. */
#pragma once

#include "core/doctor_checks.h"

/* Runs all checks and adds a row for each. Returns 0 or -ENOMEM: a check that fails otherwise is a
 * row, too. */
int doctor_host_check(struct doctor_checks *checks);

/* Adds the rows about the calling thread's network namespace. @service: the service with workers in
 * that namespace, for the rows' names; may be NULL. */
int doctor_host_check_network(struct doctor_checks *checks, const char *service);
