/* SPDX-License-Identifier: BSD-2-Clause */
/* Which listener of an endpoint the kernel finds for a new connection, whatever program a group
 * has. */
#pragma once

#include <reuseportd/abi.h>

#include "core/listener.h"

/* Asks the kernel for a connection from a random client, in the network namespace of the calling
 * thread. Members of a group get connections by the kernel's hash here. Returns 0 and the listener,
 * or a negative errno; -ENOENT: there is none. Where sockdiag_dump_is_serial(), it may wait for any
 * process of the host. */
int listener_lookup(const struct rpd_endpoint *endpoint, struct listener *ret);
