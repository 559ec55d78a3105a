/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/http_address.h"

#include <stdio.h>
#include <string.h>

#define UNIX "unix:"

_Static_assert(HTTP_ADDRESS_TEXT_MAX >= ENDPOINT_TEXT_MAX, "either address fits");

bool http_address_is_set(const struct http_address *address)
{
	return address->tcp.family || address->path[0];
}

bool http_address_is_local(const struct http_address *address)
{
	return address->path[0] || endpoint_is_loopback(&address->tcp);
}

bool http_address_equal(const struct http_address *a, const struct http_address *b)
{
	return a->tcp.family == b->tcp.family && a->tcp.port == b->tcp.port &&
	       !memcmp(a->tcp.addr, b->tcp.addr, sizeof(a->tcp.addr)) && !strcmp(a->path, b->path);
}

const char *http_address_check(const struct http_address *address, bool admin,
                               const char *token_file)
{
	if (token_file)
		return NULL;
	if (!http_address_is_local(address))
		return "other hosts can reach this address: that needs a file with a token";
	if (admin && !address->path[0])
		return "every user of this host can reach this address: actions need a file with a "
		       "token, or a Unix socket, where root may act";
	return NULL;
}

int http_address_parse(const char *text, struct http_address *ret, struct error *err)
{
	struct http_address address = {};
	const char *path = text + strlen(UNIX);

	if (strncmp(text, UNIX, strlen(UNIX)) != 0) {
		if (endpoint_parse(text, &address.tcp) < 0)
			return error_usage(err,
			                   "'%s' is neither an address with a port, such as "
			                   "127.0.0.1:9465 or [::1]:9465, nor unix:PATH",
			                   text);
	} else if (path[0] != '/' || strlen(path) >= sizeof(address.path)) {
		return error_usage(err,
		                   "the path of a Unix socket must begin with / and have less "
		                   "than %zu bytes: '%s'",
		                   sizeof(address.path), path);
	} else {
		strcpy(address.path, path);
	}
	*ret = address;
	return 0;
}

const char *http_address_format(const struct http_address *address, char buf[HTTP_ADDRESS_TEXT_MAX])
{
	if (!address->path[0])
		return endpoint_format(&address->tcp, buf, HTTP_ADDRESS_TEXT_MAX);
	snprintf(buf, HTTP_ADDRESS_TEXT_MAX, UNIX "%s", address->path);
	return buf;
}
