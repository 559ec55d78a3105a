/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is in a slot: another worker, or nobody, in one step. */
#pragma once

#include "base/error.h"
#include "service/admit.h"
#include "service/service.h"

/*
 * Puts the newcomer into @slot, in place of whoever is there, and the slot into the ring if it
 * isn't. All or nothing: on failure whoever was there is back. -EBUSY if the newcomer's version is
 * switched off and nobody of the other one would be left. Where the newcomer doesn't listen
 * the entry is emptied.
 *
 * Who was there goes on with its connections, and has no new one when this returns: it is retired.
 * It may be put back by the same call, and then keeps the account of its connections.
 *
 * @label: the newcomer's version, which the slot has from then on; NULL: the slot's own, or that of
 * workers that join the service if the slot was empty. @what: for messages.
 */
int slot_replace_worker(struct service *service, unsigned int slot, const struct newcomer *newcomer,
                        const char *label, const char *what, struct error *err);

/* Takes the worker out of @slot, as if its listeners had closed, and nobody in its place; even if
 * it is the last one: then connections are parked. It is retired, see above. */
int slot_replace_vacate(struct service *service, unsigned int slot, struct error *err);
