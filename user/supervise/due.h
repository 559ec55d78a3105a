/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other parts of the process ask of a service: signals, and requests of commands. They do not
 * run in the service's turn (turn.h), so they only mark an event source of the service as due.
 */
#pragma once

#include "supervise/types.h"

/* Makes an event source in the service's loop: due_now() has @handler called once. @priority: as
 * sd_event_source_set_priority() has it. *ret is the caller's to disable and unref. Returns 0 or a
 * negative errno. */
int due_new(struct supervisor *sup, int64_t priority, sd_event_handler_t handler, void *data,
            sd_event_source **ret);

/* The service's next turn calls the source's handler. */
void due_now(struct supervisor *sup, sd_event_source *source);
