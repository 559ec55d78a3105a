/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients of a bed's listeners, and what accepts from them: one connection after the other. */
#pragma once

#include "steer_bed.h"

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* @host: in host order. */
union address address_v4(uint32_t host);
union address address_v6(const struct in6_addr *a);

/* A loopback address that carries a number below 65536, and the number of such an address; any
 * other's is 0. */
union address address_marked(unsigned int mark);
unsigned int address_mark(const union address *a);

/* A non-zero port, in host order. */
uint16_t address_port(const union address *a);

/* Where to reach the endpoint over @family. */
union address client_target(const struct bed *bed, unsigned int endpoint, int family);

/* A connection to @endpoint over @family from @from, or NULL; or a negative errno. */
int client_connect(const struct bed *bed, unsigned int endpoint, int family,
                   const union address *from);

/* The same of endpoint 0 over IPv4; it must succeed. */
int client_hold(const struct bed *bed);

/* Closes with a reset, so that no socket is left in TIME_WAIT. */
void client_reset(int fd);

/* Accepts what is in the listener's queue now. Returns a descriptor, or -1. */
int server_accept(struct bed *bed, unsigned int listener);

/* Accepts and closes @n connections, from whatever listeners they are at. Not by epoll: some
 * kernels wake nobody for a migrated connection (CVE-2026-46015). */
void server_collect(struct bed *bed, unsigned int n);

/* How many the listener has had. */
unsigned int server_taken(const struct bed *bed, unsigned int listener);

/* Connects, accepts, and resets the connection. Returns the listener that had it. */
unsigned int visit_from(struct bed *bed, unsigned int endpoint, int family,
                        const union address *from);

/* The same of endpoint 0 over IPv4, @n times. Returns the last listener. */
unsigned int visit(struct bed *bed, unsigned int n);
