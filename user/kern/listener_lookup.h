/* SPDX-License-Identifier: BSD-2-Clause */
/* Which listener of an endpoint the kernel finds for a new connection, whatever program a group
 * has. */
#pragma once

#include <stdint.h>

#include <reuseportd/abi.h>

/* Asks the kernel for a connection from port @from (host order), in the network namespace of the
 * calling thread. Members of a group get connections by the kernel's hash here. Returns 0 and the
 * cookie of the listener, or a negative errno; -ENOENT: there is none. */
int listener_lookup(const struct rpd_endpoint *endpoint, uint16_t from, uint64_t *ret_cookie);
