/* SPDX-License-Identifier: BSD-2-Clause */
/* The status of a slot in one word, for people: the most important of all its properties. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

enum slot_status {
	SLOT_STATUS_EMPTY,    /* it never had a worker */
	SLOT_STATUS_ACTIVE,   /* takes new connections */
	SLOT_STATUS_CANARY,   /* takes the canary's share of them */
	SLOT_STATUS_STANDBY,  /* its version was left out by `switch` */
	SLOT_STATUS_DRAINING, /* drained */
	SLOT_STATUS_STUCK,    /* it accepts nothing, though connections wait: it loses its turns */
	SLOT_STATUS_STALLED,  /* its listener is open, but no process polls it */
	SLOT_STATUS_DEAD,     /* it no longer has a listener */
	/* Without a listener: what the supervisor is doing with it. */
	SLOT_STATUS_STARTING,   /* a worker was started and isn't ready */
	SLOT_STATUS_RESTARTING, /* a worker will be started after a pause */
	SLOT_STATUS_FAILED,     /* the supervisor has given up */
	SLOT_STATUS_STOPPED,    /* the user has stopped it */
	SLOT_STATUS_MAX,
};

/* @live: the slot has a listener, or a worker that needs none. @stalled: no process polls its
 * listener. @stuck: it loses its turns. @run: enum rpd_run, from the slot's row in map "workers".
 */
enum slot_status slot_status_decide(const struct rpd_schedule *s, unsigned int slot, bool live,
                                    bool stalled, bool stuck, uint8_t run);

/* "active" and so on. */
const char *slot_status_name(enum slot_status status);
