/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of `doctor` that is about one service. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "core/doctor_checks.h"

/* Adds a row for each thing that may be wrong with the service. That it can't be opened is a row
 * as well, not an error. @netns_seen: the cookie of the network namespace of which there are rows
 * already. */
int doctor_service(const char *name, uint64_t netns_seen, struct doctor_checks *checks,
                   struct error *err);
