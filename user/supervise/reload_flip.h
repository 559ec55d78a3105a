/* SPDX-License-Identifier: BSD-2-Clause */
/* Several workers of a reload or deployment get their slots at the same time. */
#pragma once

#include <stdbool.h>

#include "core/rollout.h"
#include "supervise/types.h"

enum reload_flip_outcome {
	RELOAD_FLIP_DONE,
	RELOAD_FLIP_LATER,  /* it could not be done just now */
	RELOAD_FLIP_FAILED, /* the rollout has a worker that has failed, or is aborted */
};

/* Gives all workers that are ready their slots, and puts the share of the step in force. The former
 * workers are held. */
enum reload_flip_outcome reload_flip(struct supervisor *sup);

/* Gives all old workers that are held their slots back, in one step if that is possible, and ends
 * the canary share of a deployment. An old worker that can't return is retired. @was: the rollout
 * before the rollback. Returns RELOAD_FLIP_DONE or, if it has to be tried again, RELOAD_FLIP_LATER.
 */
enum reload_flip_outcome reload_flip_back(struct supervisor *sup, const struct rollout *was);
