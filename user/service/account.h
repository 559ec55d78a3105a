/* SPDX-License-Identifier: BSD-2-Clause */
/* Which account a worker's connections are counted in. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "service/admit.h"
#include "service/service.h"

/*
 * The account for @newcomer in @slot: its own if it has been in the slot before, else one of the
 * slot's in which no connection is open, emptied. RPD_ACCOUNT_NONE if connections are not counted,
 * or if all of the slot's accounts still have some.
 */
uint16_t account_choose(struct service *service, unsigned int slot,
                        const struct newcomer *newcomer);

/* Open connections of a worker that is, or was, in a slot, by the account of its row. -ENODATA if
 * they are not counted, all of them or its own. */
int account_open_connections(const struct service *service, uint16_t account, uint64_t *ret);

/* Handshakes under way at these listeners, which are or were in slots, together. -ENODATA if
 * connections are not counted, or the workers' network namespace can't be entered. */
int account_handshakes(const struct service *service, const uint64_t *cookies, size_t n,
                       uint64_t *ret);
