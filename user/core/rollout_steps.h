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
#include "core/rollout.h"

enum rollout_strategy {
	ROLLOUT_ROLLING,    /* batch by batch, each worker admitted when it is ready */
	ROLLOUT_BLUE_GREEN, /* all new workers start, then get their slots at once */
	ROLLOUT_CANARY,     /* step by step, with exact shares */
	ROLLOUT_STRATEGY_MAX,
};

/* The name of the strategy, as users write it. */
const char *rollout_steps_strategy_name(enum rollout_strategy strategy);

/* The strategy of that name, or -1. */
int rollout_steps_find_strategy(const char *name);

/* SHARE TIME, or SHARE pause. */
struct rollout_share {
	unsigned int permille; /* 1..999 */
	int64_t time;          /* ns */
	bool gate;             /* then a person has to promote */
};

#define ROLLOUT_SHARES_MAX (ROLLOUT_STEPS_MAX - 1)

struct rollout_shares {
	size_t n;
	struct rollout_share at[ROLLOUT_SHARES_MAX]; /* shares ascend */
};

#define ROLLOUT_STEPS_DEFAULT "5% 2m, 25% 3m, 50% 5m"

/* Returns 0, or error_usage(). *ret is unchanged on failure. */
int rollout_steps_parse(const char *text, struct rollout_shares *ret, struct error *err);

/* Writes the shares as rollout_steps_parse() reads them. Returns @buf. */
#define ROLLOUT_STEPS_TEXT_MAX 512
const char *rollout_steps_format(const struct rollout_shares *shares,
                                 char buf[ROLLOUT_STEPS_TEXT_MAX]);

/* Makes the steps of a strategy for a service of @n_slots slots. Returns the number of steps. */
size_t rollout_steps_plan(enum rollout_strategy strategy, const struct rollout_shares *shares,
                          unsigned int n_slots, struct rollout_step ret[ROLLOUT_STEPS_MAX]);
