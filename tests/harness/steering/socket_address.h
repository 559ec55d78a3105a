/* SPDX-License-Identifier: BSD-2-Clause */
/* The address of one end of a TCP connection, IPv4 or IPv6. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

union socket_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Port 0. @host: in host order. */
union socket_address socket_address_v4(uint32_t host);
union socket_address socket_address_v6(const struct in6_addr *a);

/* In host order. */
uint16_t socket_address_port(const union socket_address *a);
void socket_address_set_port(union socket_address *a, uint16_t port);

/* A loopback address that carries a number below 65536, and the number in such an address; 0 of any
 * other address. */
union socket_address socket_address_marked(unsigned int mark);
unsigned int socket_address_mark(const union socket_address *a);
