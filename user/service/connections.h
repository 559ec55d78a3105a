/* SPDX-License-Identifier: BSD-2-Clause */
/* The open connections of a service's workers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/connection.h"
#include "core/slots.h"
#include "service/observe.h"
#include "service/service.h"

struct worker_connection {
	struct connection connection;
	int slot;    /* -1: no worker's yet; or from before attach, and nobody knows whose */
	bool former; /* of a worker that was in the slot before */
	bool parked; /* no worker's yet */
};

struct connections {
	struct worker_connection *rows; /* by slot, then oldest first */
	size_t n;
};

#define _cleanup_connections_ __attribute__((cleanup(connections_free)))

/* All of the service; with @slots (not NULL) those of the present workers of these slots, and those
 * that may be, and with @former also those of their former workers. Fails if connections are not
 * counted. */
int connections_take(const struct service *service, const struct observed *observed,
                     const struct slots *slots, bool former, struct connections *ret,
                     struct error *err);

void connections_free(struct connections *connections);
