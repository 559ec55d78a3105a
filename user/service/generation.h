/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generations of a slot. Connections are counted by generation, which separates those of a
 * former worker from those of the worker that has replaced it. The pinned maps call a generation an
 * account (abi.h, RPD_ACCOUNT_*).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/steer_members.h"
#include "service/newcomer.h"
#include "service/service.h"

/* Why the connections of a worker are not counted if it has no generation. */
#define GENERATION_ALL_USED                                                                        \
	"its connections are not counted: each of its 16 generations has open connections of a "   \
	"former worker; a worker that replaces this one is counted as soon as one of them has "    \
	"none"
_Static_assert(RPD_ACCOUNT_GENERATIONS == 16, "GENERATION_ALL_USED says so");

/* Whether the worker has no generation for that reason. */
bool generation_are_all_used(const struct service *service, const struct rpd_worker *worker);

/*
 * Chooses the generation for @newcomer in @slot: the one that it had in this slot before, else one
 * of the slot's that has no open connection, with its counts cleared. @members: of the service.
 * @former: the slot's row. RPD_ACCOUNT_NONE if connections are not counted, or if each of the
 * slot's generations has open connections.
 */
uint16_t generation_choose(struct service *service, const struct steer_members *members,
                           unsigned int slot, const struct rpd_worker *former,
                           const struct newcomer *newcomer);

/* The open connections of a present or former worker, by its generation. False if they are not
 * counted. */
bool generation_open_connections(const struct service *service, uint16_t generation, uint64_t *ret);

/* The sum of handshakes under way at these listeners, which are or were in slots. False if
 * they are unknown (kern/groups.h), or the workers' network namespace can't be entered. */
bool generation_handshakes(const struct service *service, const uint64_t *cookies, size_t n,
                           uint64_t *ret);
