/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients of a bed. */
#pragma once

#include "steering/bed.h"
#include "steering/socket_address.h"

/* The address of the endpoint for clients of @family. */
union socket_address client_target(const struct bed *bed, unsigned int endpoint, int family);

/* Connects to @endpoint over @family from @from, or from any address if that is NULL. Returns the
 * descriptor or a negative errno. */
int client_connect(const struct bed *bed, unsigned int endpoint, int family,
                   const union socket_address *from);

/* Connects to endpoint 0 over IPv4. Returns the descriptor; fails the case otherwise. */
int client_hold(const struct bed *bed);

/* Closes with a reset, so that no socket is left in TIME_WAIT. */
void client_reset(int fd);

/* Whether the server has reset the connection. */
bool client_is_reset(int fd);

/* Makes a connection, accepts it, and resets it. Returns the listener that got it. */
unsigned int client_visit_from(struct bed *bed, unsigned int endpoint, int family,
                               const union socket_address *from);

/* The same of endpoint 0 over IPv4, @n times. Returns the last listener. */
unsigned int client_visit(struct bed *bed, unsigned int n);
