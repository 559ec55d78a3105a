/* SPDX-License-Identifier: BSD-2-Clause */
/* The arguments of a command that are not options. */
#pragma once

#include "base/error.h"
#include "cli/command.h"
#include "core/slots.h"

/* Moves [SERVICE], the only argument, to invocation->service. */
int positional_take_service(struct invocation *i, struct error *err);

/* Removes [SERVICE] SLOT... from the front of invocation->args, where @keep arguments stay. */
int positional_take_slots(struct invocation *i, int keep, struct slots *ret, struct error *err);
