/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a process serves HTTP: an address with a port, or a Unix socket. */
#pragma once

#include <stdbool.h>
#include <sys/un.h>
#include <reuseportd/abi.h>

#include "base/error.h"
#include "core/endpoint.h"

struct http_address {
	struct rpd_endpoint tcp;                                /* family 0 = not this */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "" = not this */
};

/* Buffer size for http_address_format(). */
#define HTTP_ADDRESS_TEXT_MAX (sizeof(((struct http_address *)0)->path) + sizeof("unix:"))

/* Whether there is an address. */
bool http_address_is_set(const struct http_address *address);

/* Whether no other host can reach it. */
bool http_address_is_local(const struct http_address *address);

/* Whether they are the same. */
bool http_address_equal(const struct http_address *a, const struct http_address *b);

/* What is missing to serve there: other hosts need a token, and so do actions, except on a Unix
 * socket. @token_file: NULL = none. NULL = nothing. */
const char *http_address_check(const struct http_address *address, bool admin,
                               const char *token_file);

/* Parses "127.0.0.1:9465", "[::1]:9465" or "unix:/run/web.sock", an absolute path. error_usage() if
 * it is none of them. */
int http_address_parse(const char *text, struct http_address *ret, struct error *err);

/* Writes the same text. Returns @buf. */
const char *http_address_format(const struct http_address *address,
                                char buf[HTTP_ADDRESS_TEXT_MAX]);
