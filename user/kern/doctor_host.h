/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of `reuseportd doctor` that is about the host and not about a service. */
#pragma once

#include "core/doctor_checks.h"

/* Runs all probes and adds a row for each. An error only for want of memory: whatever else can't
 * be found out is a row as well. */
int doctor_host_check(struct doctor_checks *checks);

/* The rows on the network namespace that the calling thread is in; with @service they are rows of
 * that service, whose workers are there. */
int doctor_host_check_network(struct doctor_checks *checks, const char *service);
