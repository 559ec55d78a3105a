/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/address.h"

#include <arpa/inet.h>
#include <err.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
               "the port is at the same place in both families");

bool address_parse(const char *text, struct address *ret)
{
	const struct addrinfo hints = {
	        .ai_flags = AI_NUMERICHOST,
	        .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;

	if (getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	*ret = (struct address){.len = found->ai_addrlen, .text = text};
	memcpy(&ret->in6, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

bool address_parse_with_port(const char *text, struct address *ret)
{
	const char *colon = strrchr(text, ':'), *start = text;
	size_t len = colon ? (size_t)(colon - text) : 0;
	_cleanup_free_ char *host = NULL;
	long port;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		start++;
		len -= 2;
	} else if (len == 0 || memchr(text, ':', len)) {
		return false;
	}
	/* Not by getaddrinfo(), which reads port 99999 as 34463. */
	if (parse_long(colon + 1, 1, UINT16_MAX, &port) < 0)
		return false;
	host = strndup(start, len);
	if (!host || !address_parse(host, ret))
		return false;
	ret->text = text;
	address_set_port(ret, (uint16_t)port);
	return true;
}

uint16_t address_port(const struct address *address)
{
	return ntohs(address->in.sin_port);
}

void address_set_port(struct address *address, uint16_t port)
{
	address->in.sin_port = htons(port);
}

void addresses_add(struct addresses *all, const struct address *one)
{
	all->list = reallocarray(all->list, all->n + 1, sizeof(*all->list));
	if (!all->list)
		err(EXIT_FAILURE, "addresses");
	all->list[all->n++] = *one;
}
