/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of `doctor` that is about one service. */
#pragma once

#include "base/error.h"
#include "core/checks.h"

/* Adds a row for each thing that may be wrong with the service. That it can't be opened is a row
 * as well, not an error. */
int inspect_service(const char *name, struct checks *checks, struct error *err);
