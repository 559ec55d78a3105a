/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds out the state of a service (service/observed.h), and repairs what a killed command has left
 * half done.
 */
#pragma once

#include "base/error.h"
#include "service/observed.h"
#include "service/service.h"

/*
 * Only a process that was seen to poll a listener is known for sure to serve it. Of others, such as
 * a pre-fork parent that has just begun to listen, a later scan of all processes may know more.
 */
enum observe_depth {
	OBSERVE_KNOWN, /* the recorded process is the worker as long as it has the listener open */
	OBSERVE_UNCLEAR, /* scan again for slots where no process was ever seen to poll */
};

/*
 * Observes the service, under its lock. Also completes or rolls back a swap that was killed half
 * way, and records the new owner of a listener if its process was replaced (a pre-fork parent has
 * started another child). Returns 0, or a negative errno with @err set. The caller frees @ret with
 * observed_free().
 */
int observe(struct service *service, enum observe_depth depth, struct observed *ret,
            struct error *err);

/* Fills in the owners of the foreign listeners. If there are any, scans all processes and delays
 * those that poll these listeners (kern/proc.h), so not for a timer. Returns 0, or a negative errno
 * with @err set. */
int observe_foreign(struct observed *o, struct error *err);
