/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts workers into their slots and takes them out. Each function takes the service's lock, and
 * those that return int return 0 or a negative errno with @err set. */
#pragma once

#include "base/error.h"
#include "core/slots.h"
#include "service/service.h"
#include "supervise/types.h"

enum placement_admission {
	PLACEMENT_ADMITTED,
	PLACEMENT_LATER, /* a process keeps a lock of the kernel that is needed just now */
};

/* Puts the worker into its slot, in place of the worker that is there; or, if it is in its slot,
 * admits more of its listeners. A worker that listens on no endpoint of the service is recorded by
 * its pid alone; one that listens on nothing, only if its configuration allows that
 * (core/ready_rule.h). Returns an enum placement_admission, or a negative errno; sets @err unless
 * the worker was admitted. */
int placement_admit(struct worker *w, struct error *err);

/* Workers that get their slots together. */
struct placement_flip {
	struct worker **workers;
	size_t n;
	/* The canaries from then on, and their exact share; NULL: they stay as they are. */
	const struct slots *canaries;
	unsigned int permille; /* 0 = no canary share */
};

/* Puts all of the workers into their slots in one step, or none. As placement_admit(); if it fails
 * because of one worker, @ret_culprit is that worker (unchanged otherwise, may be NULL). */
int placement_flip(struct supervisor *sup, const struct placement_flip *flip,
                   struct worker **ret_culprit, struct error *err);

/* Ends what placement_open_to_probes() has begun. */
void placement_close_to_probes(struct worker *w);

/* Takes the worker out of @slot, and leaves the slot empty. */
int placement_withdraw(struct supervisor *sup, unsigned int slot, struct error *err);

/* The worker has closed its listener of this endpoint. @service: the worker's, locked by the
 * caller.
 */
int placement_forget_listener(struct worker *w, struct service *service, unsigned int endpoint,
                              struct error *err);

/* Lets probes reach a worker that is in no slot: puts its listener into the socket array of
 * endpoint @ret_endpoint at @ret_index. @service: the worker's, locked by the caller. */
int placement_open_to_probes(struct worker *w, struct service *service, unsigned int *ret_endpoint,
                             unsigned int *ret_index, struct error *err);

/* Records the slot's run state in the service, for `status`. */
void placement_note_run(struct supervisor *sup, unsigned int slot);
/* The same for all slots. */
void placement_note_all_runs(struct supervisor *sup);

/* Records why the slot's worker has ended or failed, for `status`. */
void placement_note_why(struct supervisor *sup, unsigned int slot, const char *why);

/* Records the worker's main process in the slot's row. */
int placement_note_main(const struct worker *w, struct error *err);

/* Changes the number of slots to @n. Slots above must be empty. */
int placement_resize(struct supervisor *sup, unsigned int n, struct error *err);
