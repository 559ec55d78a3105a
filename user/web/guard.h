/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which requests of browsers and programs are answered: pure functions of their headers, which are
 * untrusted. A page of another site may send requests through a person's browser: its Origin is not
 * ours; or, if its name is resolved to our address meanwhile (DNS rebinding), its Host is a name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define GUARD_TOKEN_MIN 16 /* bytes */
#define GUARD_TOKEN_MAX 512

/* A secret of the clients that may act; "" = none. */
struct guard_token {
	char text[GUARD_TOKEN_MAX + 1];
};

/* Whether the header Host, or NULL, has an IP address, "localhost" or @name (NULL = none), with or
 * without a port. */
bool guard_allows_host(const char *host, const char *name);

/* Whether the header Origin, NULL = the client has sent none, is that of a page of this Host. */
bool guard_allows_origin(const char *origin, const char *host);

/* Whether the header Content-Type, or NULL, is JSON. */
bool guard_is_json(const char *type);

/* Whether the header Authorization, or NULL, has the token. How long that takes does not depend on
 * the token. False if there is no token. */
bool guard_has_token(const char *authorization, const struct guard_token *token);

/* Takes the token from the content of a file: one line of GUARD_TOKEN_MIN to GUARD_TOKEN_MAX
 * printable characters, without a space. Returns 0, or error_usage(). */
int guard_parse_token(const char *text, size_t n, struct guard_token *ret, struct error *err);

/* Reads it from a file, which only its owner may read or write, and which this user or root
 * owns. Returns 0, or a negative errno with @err set. */
int guard_read_token(const char *path, struct guard_token *ret, struct error *err);
