/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where to connect, or to listen: an IP address by number, and a port, as the kernel wants it.
 * Unlike core/endpoint.h, which compares what sockets are bound to, it takes a scope, too
 * (fe80::1%eth0). No names are looked up.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
	const char *text; /* what it was read from; NULL: nothing */
};

struct addresses {
	struct address *list;
	size_t n;
};

/* "127.0.0.1", "::1". The port is 0. @text must outlive @ret. Returns false for anything else. */
bool address_parse(const char *text, struct address *ret);

/* The same with a port: "127.0.0.1:80", "[::1]:80". */
bool address_parse_with_port(const char *text, struct address *ret);

uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);

/* Adds a copy; ends the program when there is no memory. The list is freed by free(). */
void addresses_add(struct addresses *all, const struct address *one);
