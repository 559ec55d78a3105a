/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint's address as the socket calls take it. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <reuseportd/abi.h>

union endpoint_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Converts the endpoint's address. Returns its length. */
socklen_t endpoint_address_get(const struct rpd_endpoint *e, union endpoint_address *ret);
