/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that serves clients of the network gives up what it does not need. */
#pragma once

#include "base/error.h"

/* Keeps only the capabilities that reading a service needs, in all sets, and gains no new one by
 * exec(). Returns 0, or a negative errno with @err set. */
int privileges_drop(struct error *err);
