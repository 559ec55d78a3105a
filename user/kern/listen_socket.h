/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners of our own making: for workers that are passed theirs, and for parking. */
#pragma once

#include "base/error.h"
#include <reuseportd/abi.h>

/*
 * Opens a listener with SO_REUSEPORT, a full backlog, close-on-exec and not blocking, that is a
 * member of the reuseport group of @endpoint: same family, address, port, v6only, device and uid
 * (it becomes that user's by fchown()). family 0: all addresses, by [::] for both families, or by
 * 0.0.0.0 where IPv6 is off.
 */
int listen_socket_open(const struct rpd_endpoint *endpoint, struct error *err);
