/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/condition.h"

/* Of a slot without a listener. */
static enum condition condition_vacant(enum rpd_slot_state state, uint8_t run)
{
	switch (run) {
	case RPD_RUN_STARTING:
		return CONDITION_STARTING;
	case RPD_RUN_BACKOFF:
		return CONDITION_RESTARTING;
	case RPD_RUN_FAILED:
		return CONDITION_FAILED;
	case RPD_RUN_STOPPED:
		return CONDITION_STOPPED;
	default:
		return state == RPD_SLOT_EMPTY ? CONDITION_EMPTY : CONDITION_DEAD;
	}
}

enum condition condition_of(const struct rpd_schedule *s, unsigned int slot, bool live,
                            bool stalled, uint8_t run)
{
	const struct rpd_slot *it = &s->slots[slot];

	if (!live || it->state == RPD_SLOT_EMPTY)
		return condition_vacant(it->state, run);
	/* Polled again, but not yet back in the ring: the watcher's next look puts it there. */
	if (stalled || (it->flags & RPD_SLOT_STALLED))
		return CONDITION_STALLED;
	if (it->state == RPD_SLOT_DRAINING)
		return CONDITION_DRAINING;
	if (s->only_version != RPD_NO_VERSION && it->version != s->only_version)
		return CONDITION_STANDBY;
	return it->flags & RPD_SLOT_CANARY ? CONDITION_CANARY : CONDITION_ACTIVE;
}

const char *condition_name(enum condition condition)
{
	static const char *const names[] = {
	        [CONDITION_EMPTY] = "empty",
	        [CONDITION_ACTIVE] = "active",
	        [CONDITION_CANARY] = "canary",
	        [CONDITION_STANDBY] = "standby",
	        [CONDITION_DRAINING] = "draining",
	        [CONDITION_STALLED] = "stalled",
	        [CONDITION_DEAD] = "dead",
	        [CONDITION_STARTING] = "starting",
	        [CONDITION_RESTARTING] = "restarting",
	        [CONDITION_FAILED] = "failed",
	        [CONDITION_STOPPED] = "stopped",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == CONDITION_MAX, "a name for each");
	return names[condition];
}
