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
 * How far to search for the process that serves a listener. Only a process that was seen to poll
 * the listener certainly serves it. If the recorded process was never seen to poll (a pre-fork
 * parent that has just begun to listen, for example), a scan may find a better one.
 */
enum observe_depth {
	OBSERVE_KNOWN,   /* the recorded process serves the listener as long as it has the listener
	                    open */
	OBSERVE_UNCLEAR, /* scan all processes if some slot's process was never seen to poll */
};

/*
 * Observes the service, under its lock. Also completes or undoes a change of a worker's listeners
 * that was killed half way, and records the new owner of a listener if its process was replaced (a
 * pre-fork parent has started another child). Returns 0, or a negative errno with @err set. The
 * caller frees @ret with observed_free().
 */
int observe(struct service *service, enum observe_depth depth, struct observed *ret,
            struct error *err);

/* Fills in the owners of the foreign listeners. If there are any, scans all processes and delays
 * those that poll these listeners (kern/proc_holders.h): not to be called at an interval. Returns
 * 0, or a negative errno with @err set. */
int observe_foreign(struct observed *o, struct error *err);
