/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's lists of sockets, as far as they are of a service's ports. In the calling thread's
 * network namespace. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "core/connection.h"
#include "core/listener.h"
#include "service/service.h"

/* All that listen on a port that one of the endpoints has, whether they are in its group or not.
 * The caller frees *ret. */
int sockets_listeners(const struct service *service, struct listener **ret, size_t *ret_n,
                      struct error *err);

/* All connections of these ports, port by port. The caller frees *ret. */
int sockets_connections(const struct service *service, struct connection **ret, size_t *ret_n,
                        struct error *err);
