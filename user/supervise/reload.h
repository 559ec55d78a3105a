/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out a rollout (core/rollout.h): a reload, or a deployment (deployment.h). Replaces the
 * workers of some slots, and rolls back if a new worker fails. reload_state.h has the queries.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/run_config.h"
#include "core/slots.h"
#include "supervise/types.h"

/* How one reload proceeds. */
struct reload_ways {
	unsigned int batch;
	bool in_place, keep_going;
	const struct reload_deployment *deployment; /* NULL: a reload */
};

/* What a deployment is, beyond a reload. */
struct reload_deployment {
	const char *label;
	/* How far it has come, if it has begun before. Its slots are those of the reload. */
	const struct rollout *rollout;
	const struct reload_events *events;
};

/* The ways that the configuration sets. */
struct reload_ways reload_ways_of(const struct supervisor *sup, const struct run_config *config);

/* Lists the slots that a reload of the service replaces: all except those that the user has
 * stopped. */
void reload_list_slots(const struct supervisor *sup, struct slots *ret);

/* Returns 0, or a negative errno with @err set if a reload is in progress or the service is being
 * stopped. A reload begins when its configuration file is read. */
int reload_check_idle(const struct supervisor *sup, struct error *err);

/* Replaces the workers of @slots by workers of @plan, in the given @ways. If it succeeds and @slots
 * has all slots of reload_list_slots(), @plan becomes the service's plan. control_answer_reload()
 * is called when it ends. Fails as reload_check_idle() does. */
int reload_begin(struct supervisor *sup, const struct slots *slots, struct plan *plan,
                 const struct reload_ways *ways, struct error *err);

/* The slot's new worker is up, or is a job that has finished. */
void reload_note_done(struct supervisor *sup, unsigned int slot);
/* The slot's new worker @w has failed; @w is NULL if none could be started, and @why says why. */
void reload_note_failed(struct supervisor *sup, unsigned int slot, const struct worker *w,
                        const char *why);
/* A worker has ended: with in-place the slot may have room for the new one now. */
void reload_note_gone(struct supervisor *sup, const struct worker *w);

/* The rollout has got an event other than these: does what is to be done now. May end it. */
void reload_advance(struct supervisor *sup);
/* The same, when the events that are due now have been handled. */
void reload_wake(struct supervisor *sup);
/* The slot's new worker has settled. Whether it waits until others have. */
bool reload_note_ready(struct supervisor *sup, unsigned int slot);

/* A signal or a command asks for a reload. If one is in progress, one more is queued, however often
 * that is asked for: it reads the configuration when it begins. Returns whether it is queued. */
bool reload_queue(struct supervisor *sup);
/* The reload in progress has ended: the queued one begins, if there is one. */
void reload_begin_queued(struct supervisor *sup);

/* Drops the reload, and the queued one: the service is being stopped. */
void reload_drop(struct supervisor *sup);
