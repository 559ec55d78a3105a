/* SPDX-License-Identifier: BSD-2-Clause */
/* What a slot is in, in one word, for people: of all that is known the thing that matters most. */
#pragma once

#include <stdbool.h>
#include <reuseportd/abi.h>

enum condition {
	CONDITION_EMPTY,    /* no worker was ever in it */
	CONDITION_ACTIVE,   /* takes new connections */
	CONDITION_CANARY,   /* takes the canary's share of them */
	CONDITION_STANDBY,  /* of a version that `switch` left out */
	CONDITION_DRAINING, /* drained */
	CONDITION_STALLED,  /* its listener is open, but nobody polls it */
	CONDITION_DEAD,     /* it has no listener any more */
	CONDITION_MAX,
};

enum condition condition_of(const struct rpd_schedule *s, unsigned int slot, bool live,
                            bool stalled);

/* "active" and so on. */
const char *condition_name(enum condition condition);
