/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of a deployment, as users write them: "5% 2m, 25% 3m, 50% pause", and as the engine
 * walks them (rollout.h). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/deploy_settings.h"
#include "core/rollout.h"

/* SHARE TIME, or SHARE pause. */
struct rollout_share {
	unsigned int permille; /* 1..1000 */
	int64_t time;          /* ns */
	bool pauses;           /* then a person has to promote */
};

#define ROLLOUT_SHARES_MAX (ROLLOUT_STEPS_MAX - 1) /* the last step may have no share */

struct rollout_shares {
	size_t n;
	struct rollout_share at[ROLLOUT_SHARES_MAX]; /* shares ascend */
};

/* Returns 0, or error_usage(). *ret is unchanged on failure. */
int rollout_steps_parse(const char *text, struct rollout_shares *ret, struct error *err);

/* Whether the last step has all connections for a time, and the settings don't say by what it is
 * judged: no old version is left to compare the new one with. */
bool rollout_steps_lack_measure(const struct rollout_shares *shares,
                                const struct deploy_settings *settings);

/* Makes the steps of a strategy for @n_slots slots. Returns the number of steps. @shares are of a
 * canary; but if the last one is 100 %, the last step of any strategy is judged, and has its time.
 */
size_t rollout_steps_plan(enum deploy_strategy strategy, const struct rollout_shares *shares,
                          unsigned int n_slots, struct rollout_step ret[ROLLOUT_STEPS_MAX]);
