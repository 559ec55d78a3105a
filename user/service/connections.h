/* SPDX-License-Identifier: BSD-2-Clause */
/* The open connections of a service's workers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/connection.h"
#include "core/slots.h"
#include "service/observed.h"
#include "service/service.h"

struct worker_connection {
	struct connection connection;
	int slot;    /* -1: parked; or open since before attach, of an unknown worker */
	bool former; /* of a former worker of the slot */
	bool parked; /* no worker has it yet */
};

struct connections {
	struct worker_connection *rows; /* by slot, then oldest first */
	size_t n;
};

#define _cleanup_connections_ __attribute__((cleanup(connections_free)))

/*
 * Lists the service's connections. With @slots (not NULL): only connections of the present workers
 * of these slots, and those of an unknown worker. With @former: also those of former workers of
 * these slots. Returns 0, or a negative errno with @err set: connections that are not counted can't
 * be listed. The caller frees @ret with connections_free().
 */
int connections_take(const struct service *service, const struct observed *observed,
                     const struct slots *slots, bool former, struct connections *ret,
                     struct error *err);

/* Lists all connections that may have come in by an endpoint of the service, counted or not, and
 * those that are counted on the ports of these endpoints. A slot is known only of those that are
 * counted. Returns 0, or a negative errno with @err set. The caller frees @ret with
 * connections_free(). */
int connections_take_all(const struct service *service, struct connections *ret, struct error *err);

void connections_free(struct connections *connections);
