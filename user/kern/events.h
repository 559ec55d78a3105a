/* SPDX-License-Identifier: BSD-2-Clause */
/* The log of events of a service, in its pinned map "events". Events are numbered from 0 on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/slots.h"
#include "kern/steer.h"

/* Logs an event. @slot may be RPD_NO_SLOT, @pid 0, @text NULL; a text that is too long is cut. */
void events_note(struct steer *steer, enum rpd_event_kind kind, unsigned int slot, uint32_t pid,
                 const char *text);

/* Logs one event for several slots: its text begins with their list. For a single slot it is an
 * event of that slot. */
void events_note_slots(struct steer *steer, enum rpd_event_kind kind, const struct slots *slots,
                       const char *text);

/* The number of the oldest event that is kept, and of the next event to come. */
uint64_t events_first(const struct steer *steer);
uint64_t events_end(const struct steer *steer);

/* Copies event @number. Returns false if it is no longer kept, or is being written. */
bool events_get(const struct steer *steer, uint64_t number, struct rpd_event *ret);

/* Whether the programs may still add repetitions to the event, because it has begun a moment ago.
 */
bool events_may_grow(const struct rpd_event *event);
