/* SPDX-License-Identifier: BSD-2-Clause */
/* Queries about the reload, or the deployment, that is in progress. reload.c changes it. */
#pragma once

#include <stdbool.h>

#include "core/rollout.h"
#include "supervise/types.h"

/* What a deployment wants to know of its reload. */
struct reload_events {
	/* All that can be done now has been done: a step may be in force, or halted. */
	void (*changed)(struct supervisor *sup);
	/* It has ended. The workers that are out of their slots are held: old ones if it is
	 * @committed, else new ones. @why: why it isn't. */
	void (*ended)(struct supervisor *sup, bool committed, const char *why);
};

struct reload {
	struct rollout rollout;
	struct plan *plan;
	const struct reload_events *events; /* NULL: no deployment */
	char what[RPD_LABEL_MAX + 32];      /* for messages, such as "a reload" */
	sd_event_source *timer;             /* of the step */
	unsigned int n_later;               /* how often a step could not be put in force yet ... */
	unsigned int n_back_later; /* ... and the old workers not be given their slots back */
	bool in_place;
	bool of_all;       /* its plan becomes the service's plan */
	bool rolling_back; /* the old workers get their slots back */
	bool advancing;    /* reload_advance() is running, and handles what happens meanwhile */
	bool again;        /* something happened meanwhile */
	/* This is the second pass after a failure in place: it starts the old command again where
	 * the old workers are gone. */
	bool restoring;
	char why[2048]; /* why it failed */
	/* Each slot's run state when the reload began, and whether its worker had ended by itself.
	 */
	enum rpd_run was[RPD_SLOT_MAX];
	bool had_ended[RPD_SLOT_MAX];
};

/* The slot's phase (enum rollout_phase), or -1 if no reload has this slot. */
int reload_state_phase(const struct supervisor *sup, unsigned int slot);
/* Whether a reload has the slot, and is not rolling back. A deployment may last for hours: a slot
 * is not its own before it begins to replace the worker, nor while the new worker can't be rolled
 * back because no old one lives. */
bool reload_state_has(const struct supervisor *sup, unsigned int slot);
/* Whether the reload ends with the first failure, and then prints the worker's last lines itself.
 */
bool reload_state_prints_output(const struct supervisor *sup, unsigned int slot);
/* Whether the worker that leaves the slot now is kept, so that it can return. */
bool reload_state_holds(const struct supervisor *sup, unsigned int slot);
/* With in-place: whether the slot's old worker is ending, and the new one starts after that. */
bool reload_state_waits_for_room(const struct supervisor *sup, unsigned int slot);
/* Whether that holds for any slot. Then no park timeout starts: parked connections wait for the new
 * worker as long as it takes. */
bool reload_state_makes_room(const struct supervisor *sup);
/* Whether an old worker is in its slot, or could return to it. */
bool reload_state_old_lives(const struct supervisor *sup);
