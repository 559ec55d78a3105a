/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For a process that keeps its service open, as a supervisor does: takes and drops the lock for
 * each operation, and notices what other commands have changed in between.
 */
#pragma once

#include "base/error.h"
#include "service/service.h"

/*
 * After service_open() or service_create(), and service_unlock(): locks the service again, and
 * enters its network namespace. If a pin has been added or removed since then, or the service has
 * been replaced, closes it and opens it as service_try_open() does, which also rolls back what a
 * killed command has left. A process that holds the lock may take it again; the last
 * service_unlock() drops it. If nothing has changed, this makes no bpf() call.
 *
 * Returns SERVICE_OPEN, SERVICE_LOCKED (pins_set_waiting()) or a negative errno; sets @err unless
 * the outcome is SERVICE_OPEN. On failure the service may be closed; the next call opens it again.
 */
int service_lock_try(struct service *service, struct error *err);

/* The same for callers that need the lock: SERVICE_LOCKED is an error too. @ret: @service, for
 * _cleanup_service_lock_, or NULL on failure. Returns 0, or a negative errno with @err set. */
int service_lock(struct service *service, struct service **ret, struct error *err);

/* Drops the lock; the service stays open. What is memory mapped may be read without the lock. */
void service_unlock(struct service *service);

#define _cleanup_service_lock_ __attribute__((cleanup(service_cleanup_lock)))

static inline void service_cleanup_lock(struct service **locked)
{
	if (*locked)
		service_unlock(*locked);
}
