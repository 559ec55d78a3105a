/* SPDX-License-Identifier: BSD-2-Clause */
/* Replaces the workers of any number of slots, on all endpoints, in one step. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "core/slots.h"
#include "service/newcomer.h"
#include "service/service.h"

struct slot_flip_change {
	unsigned int slot;
	const struct newcomer *newcomer;
	/* The newcomer's version, which becomes that of the slot. NULL: the slot keeps its version;
	 * an empty slot gets that of workers that join the service. */
	const char *label;
};

/*
 * Puts each newcomer into its slot, in place of the worker there, and the slots into the ring. All
 * or nothing: one store puts all of it in force, and on failure nothing has changed. If the command
 * is killed, all of it is in force or nothing. Refuses with -EBUSY if the newcomers' version is
 * switched off and no worker of the other version would be left.
 *
 * Once it returns, the former workers get no new connection, keep their open ones, and have no
 * listener in a slot. The same call can put them back, and then they keep their generations.
 *
 * @canaries: these slots, and no others, are the canaries from then on, and get exactly @permille
 * of the connections; with @permille 0 there is no canary share. NULL: the canaries stay as they
 * are. Without a change (@n = 0) only the canaries change. @what: the change, for messages.
 */
int slot_flip(struct service *service, const struct slot_flip_change *changes, size_t n,
              const struct slots *canaries, unsigned int permille, const char *what,
              struct error *err);
