/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target: its address, the request to send, and the source addresses, which take turns.
 *
 * Ports: a connection that the client closes first stays in TIME_WAIT on the client's side. Its
 * (source address, source port, target) is in use for a minute, or on loopback for one second
 * (tcp_tw_reuse). A source address has about 28,000 ports, so a fast run would soon fail with
 * EADDRNOTAVAIL. This is prevented in three ways:
 *  - For a target in 127.0.0.0/8 the source addresses 127.0.0.1 to 127.0.0.16 take turns, unless
 *    --source names other addresses. With IP_BIND_ADDRESS_NO_PORT the kernel chooses the port at
 *    connect(), and only the whole 4-tuple has to be free.
 *  - A source address without a free port is skipped. The connection is a local error only if no
 *    source address has a free port.
 *  - --linger0 closes with a RST once the answer is complete, so no TIME_WAIT is left on either
 * side.
 */
#pragma once

#include <stddef.h>

#include "options.h"
#include "wire/address.h"

struct target {
	struct address address;
	struct addresses sources; /* empty: the kernel chooses */
	size_t source_turn;
	char *request;
	size_t request_len;
};

/* Makes a target for each --target. Ends the program on failure. */
struct target *targets_new(const struct options *options);

void targets_free(struct target *targets, size_t n);

/* Starts a connection. Returns its descriptor, or -errno. */
int target_connect(struct target *target);
