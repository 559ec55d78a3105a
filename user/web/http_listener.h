/* SPDX-License-Identifier: BSD-2-Clause */
/* The listener of a process that serves HTTP. */
#pragma once

#include "base/error.h"
#include "core/http_address.h"

/*
 * Listens on @address. A Unix socket gets the mode 0666: what a client may do is decided by
 * request. One that a killed process has left is replaced. Returns the descriptor, or a negative
 * errno with @err set, which names @what is served: -EADDRINUSE if another process listens there.
 */
int http_listener_open(const struct http_address *address, const char *what, struct error *err);

/* The same, but waits up to a second for a process that ends at the moment. */
int http_listener_await(const struct http_address *address, const char *what, struct error *err);

/* Reads the address of the listener @fd: an abstract Unix socket has a path that begins with "@".
 * Returns 0, or a negative errno if it is no listener for TCP or a Unix socket. */
int http_listener_read(int fd, struct http_address *ret);

/* Removes the Unix socket, after it was closed, unless another process listens there; nothing
 * happens for other addresses. */
void http_listener_remove(const struct http_address *address);
