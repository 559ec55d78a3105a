/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lets each client count once a signal and look, for evidence (verdict.h). Pure, of bounded size. A
 * client is an IPv4 address, or a /64 of IPv6. Whether an event counts does not depend on the
 * version that it is of, which keeps the test valid, also if the set is full and no further client
 * counts in this look.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/verdict_signal.h"

#define CLIENT_ONCE_MAX 1024 /* clients and signals of a look; a power of two */

/* All zero: before the first look. */
struct client_once {
	uint64_t look;
	struct client_once_entry {
		uint64_t look;
		uint64_t client;
		uint64_t signal;
	} entries[CLIENT_ONCE_MAX];
};

/* Begins a look: no client has counted in it. */
void client_once_begin(struct client_once *set);

/* Whether a bad event of a client counts: it is the client's first in this look, of this signal.
 * @family: AF_INET or AF_INET6; @address: in network order, IPv4 in the first four bytes. */
bool client_once_counts(struct client_once *set, enum verdict_signal signal, int family,
                        const uint8_t address[16]);
