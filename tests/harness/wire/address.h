/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An address to connect to or to listen on: a numeric IP address and a port, as a sockaddr. Unlike
 * core/endpoint.h it supports a scope (fe80::1%eth0). Names are not resolved.
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
	const char *text; /* the text that was parsed; NULL: none */
};

struct addresses {
	struct address *list;
	size_t n;
};

/* Parses "127.0.0.1" or "::1"; the port is 0. @text must outlive @ret. Returns false on a syntax
 * error. */
bool address_parse(const char *text, struct address *ret);

/* Like address_parse(), with a port: "127.0.0.1:80", "[::1]:80". */
bool address_parse_with_port(const char *text, struct address *ret);

uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);

/* Adds a copy; ends the program if there is no memory. Free the list with free(). */
void addresses_add(struct addresses *all, const struct address *one);
