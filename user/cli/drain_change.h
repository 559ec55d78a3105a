/* SPDX-License-Identifier: BSD-2-Clause */
/* The changes of the schedule that `drain` and `resume` make. */
#pragma once

#include <stdbool.h>

#include "cli/schedule_change.h"

/* `drain` if @drained, else `resume`; without slots as yet. */
struct schedule_change drain_change_new(bool drained);

/* Drains or resumes one slot of service @name, and prints nothing. */
int drain_change_slot(const char *name, unsigned int slot, bool drained, struct error *err);
