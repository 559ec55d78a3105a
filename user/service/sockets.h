/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's lists of the sockets on a service's ports, in the calling thread's network
 * namespace. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/connection.h"
#include "core/listener.h"
#include "service/service.h"

/* All listeners on a port of one of the endpoints, whether they are in its group or not. The caller
 * frees *ret. Returns 0, or a negative errno with @err set. */
int sockets_listeners(const struct service *service, struct listener **ret, size_t *ret_n,
                      struct error *err);

/* All connections of these ports, port by port. @info: as for sockdiag_conn_list(). The caller
 * frees *ret. Returns 0, or a negative errno with @err set. */
int sockets_connections(const struct service *service, bool info, struct connection **ret,
                        size_t *ret_n, struct error *err);
