/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/slot_status.h"

/* The status of a slot without a listener. */
static enum slot_status slot_status_decide_vacant(enum rpd_slot_state state, uint8_t run)
{
	switch (run) {
	case RPD_RUN_STARTING:
		return SLOT_STATUS_STARTING;
	case RPD_RUN_BACKOFF:
		return SLOT_STATUS_RESTARTING;
	case RPD_RUN_FAILED:
		return SLOT_STATUS_FAILED;
	case RPD_RUN_STOPPED:
		return SLOT_STATUS_STOPPED;
	default:
		return state == RPD_SLOT_EMPTY ? SLOT_STATUS_EMPTY : SLOT_STATUS_DEAD;
	}
}

enum slot_status slot_status_decide(const struct rpd_schedule *s, unsigned int slot, bool live,
                                    bool stalled, bool stuck, uint8_t run)
{
	const struct rpd_slot *it = &s->slots[slot];

	if (!live || it->state == RPD_SLOT_EMPTY)
		return slot_status_decide_vacant(it->state, run);
	/* The flag alone: the listener is polled again, and the watcher's next check puts the slot
	 * back into the ring. */
	if (stalled || (it->flags & RPD_SLOT_STALLED))
		return SLOT_STATUS_STALLED;
	if (it->state == RPD_SLOT_DRAINING)
		return SLOT_STATUS_DRAINING;
	if (s->only_version != RPD_NO_VERSION && it->version != s->only_version)
		return SLOT_STATUS_STANDBY;
	if (stuck)
		return SLOT_STATUS_STUCK;
	return it->flags & RPD_SLOT_CANARY ? SLOT_STATUS_CANARY : SLOT_STATUS_ACTIVE;
}

const char *slot_status_name(enum slot_status status)
{
	static const char *const names[] = {
	        [SLOT_STATUS_EMPTY] = "empty",       [SLOT_STATUS_ACTIVE] = "active",
	        [SLOT_STATUS_CANARY] = "canary",     [SLOT_STATUS_STANDBY] = "standby",
	        [SLOT_STATUS_DRAINING] = "draining", [SLOT_STATUS_STUCK] = "stuck",
	        [SLOT_STATUS_STALLED] = "stalled",   [SLOT_STATUS_DEAD] = "dead",
	        [SLOT_STATUS_STARTING] = "starting", [SLOT_STATUS_RESTARTING] = "restarting",
	        [SLOT_STATUS_FAILED] = "failed",     [SLOT_STATUS_STOPPED] = "stopped",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == SLOT_STATUS_MAX, "a name for each");
	return names[status];
}
