/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/endpoint_address.h"

#include <string.h>

socklen_t endpoint_address_get(const struct rpd_endpoint *e, union endpoint_address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (e->family == AF_INET6) {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(e->port);
		ret->in6.sin6_scope_id = e->ifindex;
		memcpy(&ret->in6.sin6_addr, e->addr, sizeof(ret->in6.sin6_addr));
		return sizeof(ret->in6);
	}
	ret->in.sin_family = AF_INET;
	ret->in.sin_port = htons(e->port);
	memcpy(&ret->in.sin_addr, e->addr, sizeof(ret->in.sin_addr));
	return sizeof(ret->in);
}
