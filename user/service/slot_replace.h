/* SPDX-License-Identifier: BSD-2-Clause */
/* Replaces the worker in a slot by another one, or by none, in one step. */
#pragma once

#include "base/error.h"
#include "service/newcomer.h"
#include "service/service.h"

/*
 * Puts the newcomer into @slot, in place of the worker there, and the slot into the ring. All or
 * nothing: on failure the slot has its former worker again. Empties the slot's entry of each
 * endpoint where the newcomer does not listen. Refuses with -EBUSY if the newcomer's version is
 * switched off and no worker of the other version would be left.
 *
 * Once it returns, the former worker gets no new connection and keeps its open ones. The same call
 * can put it back, and then it keeps its generation.
 *
 * @label: the newcomer's version, which becomes that of the slot. NULL: the slot keeps its version;
 * an empty slot gets that of workers that join the service. @what: the change, for messages.
 */
int slot_replace_worker(struct service *service, unsigned int slot, const struct newcomer *newcomer,
                        const char *label, const char *what, struct error *err);

/* Takes the worker out of @slot, as if its listeners had closed, and leaves the slot empty. If it
 * is the last worker, connections are parked. The worker keeps its open connections. */
int slot_replace_vacate(struct service *service, unsigned int slot, struct error *err);
