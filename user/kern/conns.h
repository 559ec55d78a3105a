/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs that count each worker's connections (conn.bpf.c), and what they have counted. All
 * of it may be absent: where the kernel or the privileges don't allow it, or where somebody has
 * taken it away, steering works the same, and nothing is known of connections.
 *
 * Pins, beside those of steer, which has the maps that both need: the map "rates"; "conn" and
 * "conn-again", the links that keep the counting programs attached; "handshakes" and "open",
 * iterators.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/conn_count.h"
#include "core/connection.h"
#include "kern/pins.h"
#include "kern/steer.h"

struct conns {
	int rates_fd, handshakes_fd, open_fd;
	bool counting; /* else the others may be -1 */
	char why[160]; /* it isn't */
};

/* Closed state. */
void conns_init(struct conns *conns);

/* Loads, attaches and pins the programs for a service that is being made. That it can't be is no
 * error: conns->counting is false then, and the service remembers why. */
void conns_attach(struct conns *conns, struct steer *steer, const struct pins *pins);

/* The connections from before are counted as well, or will never be: from now on those that migrate
 * take their count along, and conns_open() finds the service counting. */
void conns_enable(const struct conns *conns, struct steer *steer);

/* Opens what is pinned, as far as it is there. */
void conns_open(struct conns *conns, const struct steer *steer, const struct pins *pins);

void conns_close(struct conns *conns);

/* Whether a pin of this name is one of ours. */
bool conns_is_pin(const char *name);

/* What was counted of the connections of one account; or nothing any more, with it empty. */
int conns_read_count(const struct steer *steer, uint16_t account, struct conn_count *ret);
/* The same of the @n accounts from @first on, in one call. */
int conns_read_counts(const struct steer *steer, uint16_t first, size_t n, struct conn_count *ret);
int conns_clear_count(struct steer *steer, uint16_t account);

/* Connections of each of the first @n slots in each of the last seconds; opened[0] is the second
 * that has just ended. */
struct conn_seconds {
	uint32_t opened[RPD_RATE_SECONDS - 1];
};
int conns_read_rates(const struct conns *conns, size_t n, struct conn_seconds *ret);

/* Fills in which of the connections are counted, and where; they are in the order of their cookies
 * then. In the calling thread's network namespace. */
int conns_mark_counted(const struct conns *conns, struct connection *connections, size_t n,
                       struct error *err);

/* A connection that was open before the counting began. */
struct conn_found {
	uint64_t cookie;
	uint16_t account;
};

/* Counts those of them that are still open, and not counted yet. */
int conns_count_found(const struct conns *conns, struct steer *steer,
                      const struct conn_found *found, size_t n, struct error *err);

/* Handshakes under way at the admitted listeners of the calling thread's network namespace. The
 * caller frees *ret. */
int conns_read_handshakes(const struct conns *conns, struct rpd_handshakes **ret, size_t *ret_n,
                          struct error *err);
