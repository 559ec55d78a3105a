/* SPDX-License-Identifier: BSD-2-Clause */
/* What a slot is in, in one word, for people: of all that is known the thing that matters most. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

enum condition {
	CONDITION_EMPTY,    /* no worker was ever in it */
	CONDITION_ACTIVE,   /* takes new connections */
	CONDITION_CANARY,   /* takes the canary's share of them */
	CONDITION_STANDBY,  /* of a version that `switch` left out */
	CONDITION_DRAINING, /* drained */
	CONDITION_STALLED,  /* its listener is open, but nobody polls it */
	CONDITION_DEAD,     /* it has no listener any more */
	/* Without a listener, as what its supervisor is about to do with it: */
	CONDITION_STARTING,
	CONDITION_RESTARTING, /* soon */
	CONDITION_FAILED,     /* nothing any more */
	CONDITION_STOPPED,    /* nothing, as the user has asked */
	CONDITION_MAX,
};

/* @live: it has a listener, or a worker that needs none. @run: of the slot's row, an enum rpd_run.
 */
enum condition condition_of(const struct rpd_schedule *s, unsigned int slot, bool live,
                            bool stalled, uint8_t run);

/* "active" and so on. */
const char *condition_name(enum condition condition);
