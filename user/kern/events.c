/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/events.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

void events_note(struct steer *steer, enum rpd_event_kind kind, unsigned int slot, uint32_t pid,
                 const char *text)
{
	uint64_t number = __atomic_fetch_add(&steer->events->head, 1, __ATOMIC_RELAXED);
	struct rpd_event *event = &steer->events->entries[number % RPD_EVENT_MAX];

	__atomic_store_n(&event->seq, 0, __ATOMIC_RELEASE);
	event->time = event->until = clock_ns(CLOCK_MONOTONIC);
	event->count = 1;
	event->pid = pid;
	event->slot = slot;
	event->kind = kind;
	snprintf(event->text, sizeof(event->text), "%s", text ? text : "");
	__atomic_store_n(&event->seq, number + 1, __ATOMIC_RELEASE);
}

void events_note_slots(struct steer *steer, enum rpd_event_kind kind, const struct slots *slots,
                       const char *text)
{
	char list[RPD_EVENT_TEXT_MAX] = "", both[2 * RPD_EVENT_TEXT_MAX + RPD_LABEL_MAX];
	unsigned int slot = slots->n == 1 ? slots->at[0] : RPD_NO_SLOT;

	if (slots->n > 1)
		slots_format(slots, list, sizeof(list) / 2);
	snprintf(both, sizeof(both), "%s%s%.*s", list, list[0] && text[0] ? " " : "", RPD_LABEL_MAX,
	         text);
	events_note(steer, kind, slot, 0, both);
}

uint64_t events_end(const struct steer *steer)
{
	return __atomic_load_n(&steer->events->head, __ATOMIC_ACQUIRE);
}

uint64_t events_first(const struct steer *steer)
{
	uint64_t end = events_end(steer);

	return end > RPD_EVENT_MAX ? end - RPD_EVENT_MAX : 0;
}

bool events_get(const struct steer *steer, uint64_t number, struct rpd_event *ret)
{
	const struct rpd_event *event = &steer->events->entries[number % RPD_EVENT_MAX];

	if (__atomic_load_n(&event->seq, __ATOMIC_ACQUIRE) != number + 1)
		return false;
	*ret = *event;
	ret->text[sizeof(ret->text) - 1] = '\0';
	/* Was it overwritten during the copy? */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return ret->kind < RPD_EVENT_KIND_MAX &&
	       __atomic_load_n(&event->seq, __ATOMIC_RELAXED) == number + 1;
}

bool events_may_grow(const struct rpd_event *event)
{
	switch (event->kind) {
	case RPD_EVENT_left:
	case RPD_EVENT_former_left:
	case RPD_EVENT_migrated:
	case RPD_EVENT_fell_back:
	case RPD_EVENT_dropped:
		return clock_ns(CLOCK_MONOTONIC) - event->time <= RPD_EVENT_BURST_NS;
	default:
		return false;
	}
}
