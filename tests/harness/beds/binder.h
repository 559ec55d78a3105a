/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes that bind and listen as programs do that know nothing of SO_REUSEPORT. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The socket that a child opens. */
struct binder_order {
	int cgroup; /* the child's, -1 = ours */
	int family; /* 0 = AF_INET */
	int type;   /* 0 = SOCK_STREAM */
	int protocol;
	uint16_t port;
	bool loopback; /* bind() to the loopback address, not to all addresses */
	bool unbound;  /* listen() without bind() */
	bool nobody;   /* as a user without capabilities */
	bool late;     /* listen() after shared->fd is set (children.h) */
};

struct binder_result {
	int error; /* 0 or a negative errno */
	uint16_t port;
	uint64_t cookie;
	bool bound;
	bool done;
};

/* Binds a socket to the port of an order. Returns what bind() returns. */
int binder_bind(int fd, const struct binder_order *order);

/* Starts a child, and waits until it has opened its socket or failed; with order.late, until it has
 * bound the socket. The child keeps the socket open until the case ends. */
struct binder_result binder_open(struct binder_order order);

/* Waits until the last child has opened its socket or failed. */
struct binder_result binder_finish(void);
