/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF iterators over the TCP sockets of a network namespace. The kernel locks each socket before it
 * shows it, and a process can keep its socket locked as long as it likes: a child reads the rows.
 * It has a reference to the socket then, in 7.x too (bpf_iter_tcp_batch()): the socket is not freed
 * meanwhile.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * Reads the rows of the iterator that @link is open on, up to a row that begins with 8 bytes that
 * are 0. Sets *ret, a pointer to rows, which the caller frees; NULL: there are none. Returns 0 or a
 * negative errno with @err set. Takes as long as the kernel goes on: not for an event loop.
 */
int socket_iterator_read(int link, size_t row_size, void *ret, size_t *ret_n, struct error *err);

/* The same, but gives up after some seconds. */
int socket_iterator_read_soon(int link, size_t row_size, void *ret, size_t *ret_n,
                              struct error *err);
