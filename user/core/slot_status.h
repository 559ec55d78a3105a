/* SPDX-License-Identifier: BSD-2-Clause */
/* What a slot is in, in one word, for people: of all that is known the thing that matters most. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

enum slot_status {
	SLOT_STATUS_EMPTY,    /* no worker was ever in it */
	SLOT_STATUS_ACTIVE,   /* takes new connections */
	SLOT_STATUS_CANARY,   /* takes the canary's share of them */
	SLOT_STATUS_STANDBY,  /* of a version that `switch` left out */
	SLOT_STATUS_DRAINING, /* drained */
	SLOT_STATUS_STALLED,  /* its listener is open, but nobody polls it */
	SLOT_STATUS_DEAD,     /* it has no listener any more */
	/* Without a listener, as what its supervisor is about to do with it: */
	SLOT_STATUS_STARTING,
	SLOT_STATUS_RESTARTING, /* soon */
	SLOT_STATUS_FAILED,     /* nothing any more */
	SLOT_STATUS_STOPPED,    /* nothing, as the user has asked */
	SLOT_STATUS_MAX,
};

/* @live: it has a listener, or a worker that needs none. @run: of the slot's row, an enum rpd_run.
 */
enum slot_status slot_status_decide(const struct rpd_schedule *s, unsigned int slot, bool live,
                                    bool stalled, uint8_t run);

/* "active" and so on. */
const char *slot_status_name(enum slot_status condition);
