/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs that count each worker's connections (conn.bpf.c), and their counts. Counting is
 * optional. Where the kernel or the privileges don't allow counting, or the pins were removed,
 * connections are steered all the same, but not counted.
 *
 * Pins, in addition to those of steer, which has the shared maps: the map "rates"; the links "conn"
 * and "conn-again", which keep the counting programs attached; the iterator "open".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/conn_count.h"
#include "core/connection.h"
#include "kern/grace.h"
#include "kern/pins.h"
#include "kern/steer.h"

struct conns {
	int rates_fd, open_fd, link_fds[2];
	bool counting; /* if not, the descriptors may be -1 */
	char why[160]; /* why not */
};

/* Sets the closed state. */
void conns_init(struct conns *conns);

/* Loads, attaches and pins the programs for a service that is being made. A failure is no error:
 * conns->counting is then false, and the service stores the reason. */
void conns_attach(struct conns *conns, struct steer *steer, const struct pins *pins);

/* The last step of the start, after conns_count_found(): records that the service counts
 * connections, for later conns_open(). */
void conns_enable(const struct conns *conns, struct steer *steer);

/* Opens the pins. If one is missing conns->counting is false. */
void conns_open(struct conns *conns, const struct steer *steer, const struct pins *pins);

void conns_close(struct conns *conns);

/* Pins again what is open and not pinned any more. Returns 0 or a negative errno. */
int conns_pin_missing(const struct conns *conns, const struct pins *pins);

/* Whether a pin of this name is one of ours. */
bool conns_is_pin(const char *name);

/* Reads the counts of one account. */
int conns_read_count(const struct steer *steer, uint16_t account, struct conn_count *ret);

/* Reads the counts of the @n accounts from @first on, in one system call. */
int conns_read_counts(const struct steer *steer, uint16_t first, size_t n, struct conn_count *ret);

/* Sets the counts of an account, which has no open connection, to 0. */
int conns_clear_count(struct steer *steer, uint16_t account);

/* The new connections of a slot in each of the last seconds; opened[0] is the second that has just
 * ended. */
struct conn_seconds {
	uint32_t opened[RPD_RATE_SECONDS - 1];
};

/* Reads the rates of the first @n slots. */
int conns_read_rates(const struct conns *conns, size_t n, struct conn_seconds *ret);

/* Sets .counted, .account and .since of the connections that are counted, and sorts the connections
 * by cookie. Sees the calling thread's network namespace. */
int conns_mark_counted(const struct conns *conns, struct connection *connections, size_t n,
                       struct error *err);

/*
 * Counts all open connections in map "loads", too, where RPD_LEAST_CONNECTIONS finds them: to be
 * called before steer_switch() puts this policy in force. From the moment when @grace has been
 * waited for, each new connection is counted there when it begins. A walk over all others then
 * counts them. A connection's tag says whether it is counted: so each one counts exactly once until
 * it ends, in whichever order it is seen. Sees the calling thread's network namespace.
 */
int conns_count_loads(const struct conns *conns, struct steer *steer, const struct grace *grace,
                      struct error *err);

/* A connection that was open before the counting began. */
struct conn_found {
	uint64_t cookie;
	uint16_t account;
};

/* Counts the connections that are still open and not counted yet. */
int conns_count_found(const struct conns *conns, struct steer *steer,
                      const struct conn_found *found, size_t n, struct error *err);
