/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is connected to: an address, the request that is sent there, and the source addresses that
 * take turns.
 *
 * Ports. A connection that the client closes first stays in TIME_WAIT on the client's side and
 * keeps its (source address, source port, target) for a minute, or on loopback for one second
 * (tcp_tw_reuse). One source address has some 28,000 ports, so a fast run would soon end in
 * EADDRNOTAVAIL. Three things prevent that:
 *  - a target in 127.0.0.0/8 is called from 127.0.0.1 .. 127.0.0.16 in turn unless --source names
 *    other addresses (IP_BIND_ADDRESS_NO_PORT, so that the port is chosen at connect() and only the
 *    whole 4-tuple has to be free);
 *  - a source without a free port is passed over for the next one, and only if none of them has
 *    one is the connection a local error;
 *  - --linger0 closes by RST once the whole answer is there, and no TIME_WAIT is left on either
 *    side.
 */
#pragma once

#include <stddef.h>

#include "options.h"
#include "wire/address.h"

struct target {
	struct address address;
	struct addresses sources; /* empty: let the kernel choose */
	size_t source_turn;
	char *request;
	size_t request_len;
};

/* One for each of the options' targets. Ends the program on failure. */
struct target *targets_new(const struct options *options);

void targets_free(struct target *targets, size_t n);

/* Returns a descriptor whose connect() is under way, or -errno. */
int target_connect(struct target *target);
