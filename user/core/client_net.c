/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/client_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "base/parse.h"
#include "core/endpoint.h"

#define MAPPED_BITS 96

/* Sets the mapped form of an address, and returns the bits that are before it. */
static unsigned int client_net_map(int family, const uint8_t addr[16], struct rpd_net *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (family == AF_INET6) {
		memcpy(ret->addr, addr, sizeof(ret->addr));
		return 0;
	}
	ret->addr[2] = htonl(0xffff);
	memcpy(&ret->addr[3], addr, sizeof(ret->addr[3]));
	return MAPPED_BITS;
}

int client_net_parse(const char *text, struct rpd_net *ret)
{
	const size_t n = strcspn(text, "/");
	char address[INET6_ADDRSTRLEN + 2] = ""; /* with brackets */
	struct rpd_net net;
	uint8_t addr[16];
	unsigned int before;
	int family;
	long bits;

	if (n >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, n);
	if (endpoint_parse_address(address, &family, addr) < 0)
		return -EINVAL;
	before = client_net_map(family, addr, &net);
	bits = 128 - before;
	if (text[n] && parse_long(text + n + 1, 0, bits, &bits) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < 4; i++) {
		const long left = (long)before + bits - 32 * (long)i;

		net.mask[i] = left >= 32 ? UINT32_MAX
		              : left > 0 ? htonl(UINT32_MAX << (32 - left))
		                         : 0;
		net.addr[i] &= net.mask[i];
	}
	*ret = net;
	return 0;
}
