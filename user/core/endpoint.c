/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

int endpoint_compare(const struct rpd_endpoint *a, const struct rpd_endpoint *b)
{
	int r = COMPARE(a->port, b->port);

	if (!r)
		r = COMPARE(a->family, b->family);
	if (!r)
		r = memcmp(a->addr, b->addr, sizeof(a->addr));
	if (!r)
		r = COMPARE(a->ifindex, b->ifindex);
	if (!r)
		r = COMPARE(a->v6only, b->v6only);
	if (!r)
		r = COMPARE(a->uid, b->uid);
	return r;
}

bool endpoint_equal(const struct rpd_endpoint *a, const struct rpd_endpoint *b)
{
	return endpoint_compare(a, b) == 0;
}

bool endpoint_is_wildcard(const struct rpd_endpoint *e)
{
	static const uint8_t any[16];

	return !memcmp(e->addr, any, sizeof(any));
}

bool endpoint_is_loopback(const struct rpd_endpoint *e)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	return e->family == AF_INET ? e->addr[0] == 127
	                            : !memcmp(e->addr, loopback6, sizeof(loopback6));
}

bool endpoint_may_accept(const struct rpd_endpoint *e, uint8_t family, const uint8_t addr[16],
                         uint32_t ifindex)
{
	return e->family == family && (!e->ifindex || e->ifindex == ifindex) &&
	       (endpoint_is_wildcard(e) || !memcmp(e->addr, addr, sizeof(e->addr)));
}

bool endpoint_is_more_specific(const struct rpd_endpoint *a, const struct rpd_endpoint *b)
{
	return !endpoint_is_wildcard(a) + !!a->ifindex > !endpoint_is_wildcard(b) + !!b->ifindex;
}

struct rpd_endpoint endpoint_unmap(const struct rpd_endpoint *e)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct rpd_endpoint plain = *e;

	if (e->family != AF_INET6 || memcmp(e->addr, mapped, sizeof(mapped)) != 0)
		return plain;
	plain.family = AF_INET;
	memset(plain.addr, 0, sizeof(plain.addr));
	memcpy(plain.addr, e->addr + sizeof(mapped), sizeof(e->addr) - sizeof(mapped));
	return plain;
}

bool endpoint_covers(const struct rpd_endpoint *a, const struct rpd_endpoint *e)
{
	const struct rpd_endpoint x = endpoint_unmap(a), y = endpoint_unmap(e);

	if (x.port != y.port || (x.ifindex && x.ifindex != y.ifindex))
		return false;
	if (!endpoint_is_wildcard(&x))
		return x.family == y.family && !memcmp(x.addr, y.addr, sizeof(x.addr));
	if (x.family != y.family)
		return x.family == AF_INET6 && !x.v6only;
	return x.family == AF_INET || !x.v6only || y.v6only || !endpoint_is_wildcard(&y);
}

/*
 * The kernel looks for listeners on the specific address first, then on the wildcard. Among these
 * it takes the first in its list that is in a reuseport group (inet_lhash2_lookup()), whatever its
 * device. New IPv4 listeners are put at the head of the list, new IPv6 listeners at its end
 * (__inet_hash()). So an IPv4 listener takes from all before it, and an IPv6 listener from other
 * groups of IPv6 when their older listeners are closed.
 *
 * For the same rule in BPF see hook_takes_from_served().
 */
bool endpoint_takes_from(const struct rpd_endpoint *a, const struct rpd_endpoint *e)
{
	const struct rpd_endpoint x = endpoint_unmap(a), y = endpoint_unmap(e);

	if (x.port != y.port || (x.ifindex && y.ifindex && x.ifindex != y.ifindex))
		return false;
	if (x.family != y.family)
		return x.family == AF_INET && endpoint_is_wildcard(&y) && !y.v6only;
	if (memcmp(x.addr, y.addr, sizeof(x.addr)) != 0)
		return !endpoint_is_wildcard(&x) && endpoint_is_wildcard(&y);
	return x.ifindex != y.ifindex || (a->family == AF_INET && e->family == AF_INET6);
}

bool endpoint_is_held(const struct rpd_endpoint *e)
{
	static const uint8_t broadcast[16] = {0xff, 0xff, 0xff, 0xff};
	const struct rpd_endpoint plain = endpoint_unmap(e);

	return plain.family == AF_INET && !memcmp(plain.addr, broadcast, sizeof(broadcast));
}

int endpoint_find(const struct rpd_endpoint *list, size_t n, const struct rpd_endpoint *e)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(&list[i], e))
			return (int)i;
	return -1;
}

bool endpoint_has_address(const struct rpd_endpoint *e, int family, const uint8_t addr[16])
{
	return !family || (e->family == family && !memcmp(e->addr, addr, sizeof(e->addr)));
}

bool endpoint_matches(const struct rpd_endpoint *e, const struct rpd_endpoint *named)
{
	return e->port == named->port && endpoint_has_address(e, named->family, named->addr) &&
	       (!named->family || e->ifindex == named->ifindex);
}

const char *endpoint_format(const struct rpd_endpoint *e, char *buf, size_t size)
{
	const bool v6 = e->family == AF_INET6;
	char addr[INET6_ADDRSTRLEN] = "?";
	char device[sizeof("%4294967295")] = "";

	inet_ntop(e->family, e->addr, addr, sizeof(addr));
	if (e->ifindex)
		snprintf(device, sizeof(device), "%%%" PRIu32, e->ifindex);
	snprintf(buf, size, "%s%s%s:%u%s", v6 ? "[" : "", addr, v6 ? "]" : "", e->port, device);
	return buf;
}

int endpoint_parse_address(const char *text, int *ret_family, uint8_t ret_addr[16])
{
	const size_t length = strlen(text);
	uint8_t addr[16] = {0};
	char bare[INET6_ADDRSTRLEN];
	int family = AF_INET6;

	if (length > 2 && length < sizeof(bare) + 2 && text[0] == '[' && text[length - 1] == ']') {
		snprintf(bare, sizeof(bare), "%.*s", (int)length - 2, text + 1);
		text = bare;
	} else if (!strchr(text, ':')) {
		family = AF_INET;
	}
	if (inet_pton(family, text, addr) != 1)
		return -EINVAL;
	*ret_family = family;
	memcpy(ret_addr, addr, sizeof(addr));
	return 0;
}

int endpoint_parse(const char *text, struct rpd_endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2]; /* with the brackets */
	struct rpd_endpoint endpoint = {};
	int family, r;
	long port;

	if (!colon || colon - text >= (long)sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	r = endpoint_parse_address(host, &family, endpoint.addr);
	if (r == 0 && family == AF_INET6 && host[0] != '[')
		r = -EINVAL; /* its last group might be the port or not */
	if (r == 0)
		r = parse_long(colon + 1, 1, UINT16_MAX, &port);
	if (r < 0)
		return r;
	endpoint.family = family;
	endpoint.port = port;
	*ret = endpoint;
	return 0;
}
