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
	unsigned int permille; /* 1..999 */
	int64_t time;          /* ns */
	bool pauses;           /* then a person has to promote */
};

#define ROLLOUT_SHARES_MAX (ROLLOUT_STEPS_MAX - 1)

struct rollout_shares {
	size_t n;
	struct rollout_share at[ROLLOUT_SHARES_MAX]; /* shares ascend */
};

/* Returns 0, or error_usage(). *ret is unchanged on failure. */
int rollout_steps_parse(const char *text, struct rollout_shares *ret, struct error *err);

/* Makes the steps of a strategy for @n_slots slots; @shares are of a canary. Returns the number
 * of steps. */
size_t rollout_steps_plan(enum deploy_strategy strategy, const struct rollout_shares *shares,
                          unsigned int n_slots, struct rollout_step ret[ROLLOUT_STEPS_MAX]);
