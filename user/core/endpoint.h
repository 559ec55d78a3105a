/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An endpoint is what all members of one reuseport group of the kernel have in common. Order,
 * equality and text; nothing here touches a socket.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <reuseportd/abi.h>

/* "[" address "]:65535%4294967295" with the final NUL, which INET6_ADDRSTRLEN counts. */
#define ENDPOINT_TEXT_MAX (INET6_ADDRSTRLEN + 20)

/* Total order: port, family, address, device, v6only, uid. Returns <0, 0 or >0 like memcmp(). */
int endpoint_compare(const struct rpd_endpoint *a, const struct rpd_endpoint *b);

/* Whether two listeners with these endpoints are in the same group. */
bool endpoint_equal(const struct rpd_endpoint *a, const struct rpd_endpoint *b);

/* 0.0.0.0 or [::]. */
bool endpoint_is_wildcard(const struct rpd_endpoint *e);

/* 127.0.0.0/8 or [::1]. */
bool endpoint_is_loopback(const struct rpd_endpoint *e);

/* The endpoint with an IPv4-mapped address as IPv4. */
struct rpd_endpoint endpoint_unmap(const struct rpd_endpoint *e);

/* Whether a connection with this family, local address and device may have come in by the endpoint.
 * It may fit other endpoints as well. */
bool endpoint_may_accept(const struct rpd_endpoint *e, uint8_t family, const uint8_t addr[16],
                         uint32_t ifindex);

/* Whether the kernel prefers @a to @b for a connection that both may accept: a specific address or
 * device goes before a wildcard. */
bool endpoint_is_more_specific(const struct rpd_endpoint *a, const struct rpd_endpoint *b);

/* Whether a listener with endpoint @a gets all connections to @e, if no listener has @e. */
bool endpoint_covers(const struct rpd_endpoint *a, const struct rpd_endpoint *e);

/* Whether a new listener with endpoint @a would take connections from listeners with endpoint @e,
 * at once or when some of these are closed. False if they are in the same group, and if only v6only
 * differs. */
bool endpoint_takes_from(const struct rpd_endpoint *a, const struct rpd_endpoint *e);

/* Whether the bind hook of `run` has bound a listener here, to hold it: no connection can come in.
 */
bool endpoint_is_held(const struct rpd_endpoint *e);

/* The index of @e in a list of endpoints, or -1. */
int endpoint_find(const struct rpd_endpoint *list, size_t n, const struct rpd_endpoint *e);

/* Whether the endpoint has this address; family 0 stands for any address. */
bool endpoint_has_address(const struct rpd_endpoint *e, int family, const uint8_t addr[16]);

/* Whether @e is the endpoint that the user named: by port only (family 0), on any address and
 * device; or by address and port. */
bool endpoint_matches(const struct rpd_endpoint *e, const struct rpd_endpoint *named);

/*
 * Writes "0.0.0.0:8080", "[::]:8080" or, for a socket bound to device 2, "127.0.0.1:8080%2".
 * ENDPOINT_TEXT_MAX bytes are always enough; in a smaller buffer the text is cut. Returns @buf.
 */
const char *endpoint_format(const struct rpd_endpoint *e, char *buf, size_t size);

/*
 * Parses an IPv4 or IPv6 address, the latter with or without brackets. @ret_addr has the form of
 * rpd_endpoint.addr: network order, an IPv4 address in the first four bytes, the rest zero.
 * -EINVAL if it is neither.
 */
int endpoint_parse_address(const char *text, int *ret_family, uint8_t ret_addr[16]);

/* Parses "0.0.0.0:8080" or "[::]:8080". Sets family, address and port of @ret, and all else to 0.
 * -EINVAL if it is neither, -ERANGE if the port is not 1 to 65535. */
int endpoint_parse(const char *text, struct rpd_endpoint *ret);
