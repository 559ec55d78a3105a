/* SPDX-License-Identifier: BSD-2-Clause */
/* The log of what happened to a service, in its pinned map "events". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/slots.h"
#include "kern/steer.h"

/* Notes an event. @slot may be RPD_NO_SLOT, @pid 0, @text NULL; what is too long of it is cut. */
void events_note(struct steer *steer, enum rpd_event_kind kind, unsigned int slot, uint32_t pid,
                 const char *text);

/* The same for a list of slots, as one event whose text begins with the list, if it is one. */
void events_note_slots(struct steer *steer, enum rpd_event_kind kind, const struct slots *slots,
                       const char *text);

/* Number of the oldest event that is kept, and of the next one to come. */
uint64_t events_first(const struct steer *steer);
uint64_t events_end(const struct steer *steer);

/* Copies event @number. False if it is not kept any more, or just being written. */
bool events_get(const struct steer *steer, uint64_t number, struct rpd_event *ret);

/* Whether the programs have begun only now to count in the event: its count may soon say more. */
bool events_may_grow(const struct rpd_event *event);
