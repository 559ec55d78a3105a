/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a reload, or of a deployment: its workers stay, or the old ones return. */
#pragma once

#include <stdbool.h>

#include "supervise/types.h"

/* Every slot is done: the plan becomes the service's plan, and the old workers of a reload end. */
void reload_end_commit(struct supervisor *sup);

enum reload_end {
	RELOAD_END_ENDED,    /* the reload is freed */
	RELOAD_END_RESTORES, /* it begins to start the old command again */
	RELOAD_END_LATER,    /* nothing is done: an old worker can't get its slot just now */
};

/* The old workers return. */
enum reload_end reload_end_roll_back(struct supervisor *sup);

/* Lets the workers that are held end, when their connections have ended. */
void reload_end_retire_held(struct supervisor *sup);

/* Frees the reload, and leaves the workers alone. */
void reload_end_free(struct supervisor *sup);
