/* SPDX-License-Identifier: BSD-2-Clause */
/* Which account a worker's connections are counted in. */
#pragma once

#include "daemon/admit.h"
#include "daemon/service.h"

/*
 * The account for @newcomer in @slot: its own if it has been in the slot before, else one of the
 * slot's in which no connection is open, emptied. RPD_ACCOUNT_NONE if connections are not counted,
 * or if all of the slot's accounts still have some.
 */
uint16_t account_choose(struct service *service, unsigned int slot,
                        const struct newcomer *newcomer);
