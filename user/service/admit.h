/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts a worker's listeners into a slot. attach, swap, watch and run all admit workers this way. */
#pragma once

#include "base/error.h"
#include "service/newcomer.h"
#include "service/observed.h"
#include "service/service.h"

/* Why an MPTCP socket is refused, and what to do. */
#define ADMIT_NO_MPTCP                                                                             \
	"MPTCP sockets can't be steered; listen with plain TCP (Go: GODEBUG=multipathtcp=0)"

/*
 * Puts the newcomer into the idle cell of @slot (RPD_CELL_MAX in abi.h), and makes it the one in
 * force in the draft, whose slot has the newcomer's version: it takes the slot when the draft is in
 * force. A newcomer that is in the slot already, with other listeners, stays in its cell. In a
 * complete service, also makes sure that the program is attached to the newcomer's groups.
 *
 * First borrows all the listeners, so that it fails before anything is changed. @before: the state
 * of the service; of one that is being made, nothing. Returns 0, or a negative errno with @err set:
 * -EBUSY if a listener is in a slot of this or another service already.
 */
int admit(struct service *service, const struct observed *before, unsigned int slot,
          const struct newcomer *newcomer, struct rpd_schedule *draft, struct error *err);

/* Undoes admit(), also one that has failed, unless its draft is in force. */
void admit_undo(struct service *service, const struct observed *before, unsigned int slot,
                const struct newcomer *newcomer);
