/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/socket_address.h"

#define MARKS 0x7f010000u /* 127.1.0.0/16 */

union socket_address socket_address_v4(uint32_t host)
{
	return (union socket_address){.in = {.sin_family = AF_INET, .sin_addr = {htonl(host)}}};
}

union socket_address socket_address_v6(const struct in6_addr *a)
{
	return (union socket_address){.in6 = {.sin6_family = AF_INET6, .sin6_addr = *a}};
}

uint16_t socket_address_port(const union socket_address *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void socket_address_set_port(union socket_address *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in.sin_port = htons(port);
}

union socket_address socket_address_marked(unsigned int mark)
{
	return socket_address_v4(MARKS + mark);
}

unsigned int socket_address_mark(const union socket_address *a)
{
	const uint32_t host = ntohl(a->in.sin_addr.s_addr);

	return a->sa.sa_family == AF_INET && (host & 0xffff0000u) == MARKS ? host & 0xffff : 0;
}
