/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts a worker's listeners into a slot. attach, swap, watch and run all admit workers this way. */
#pragma once

#include "base/error.h"
#include "service/newcomer.h"
#include "service/service.h"

/* Why an MPTCP socket is refused, and what to do. */
#define ADMIT_NO_MPTCP                                                                             \
	"MPTCP sockets can't be steered; listen with plain TCP (Go: GODEBUG=multipathtcp=0)"

/*
 * Puts the newcomer into @slot, in place of the worker there, with the version that the
 * slot has in @draft. In a complete service, also makes
 * sure that the program is attached to the newcomer's groups. The caller changes the schedule.
 *
 * First borrows all the listeners, so that it fails before anything is changed; then writes the
 * slot's row. If the command is killed after that, the next one completes the change. Returns 0, or
 * a negative errno with @err set: -EBUSY if a listener is in a slot of this or another service
 * already.
 */
int admit(struct service *service, unsigned int slot, const struct newcomer *newcomer,
          const struct rpd_schedule *draft, struct error *err);
