/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of `doctor` that checks one service. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "core/doctor_checks.h"

/*
 * Adds a row for each check of service @name. If the service can't be opened, that is a row too,
 * and no error. @netns_seen: the cookie of the network namespace that was checked already. Returns
 * 0, or a negative errno with @err set.
 */
int doctor_service(const char *name, uint64_t netns_seen, struct doctor_checks *checks,
                   struct error *err);
