/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rollout_steps.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define PERMILLE 1000

/* --- as users write them */

static int rollout_steps_parse_share(const char *word, struct rollout_share *ret, struct error *err)
{
	long permille;

	/* The sign is required: without it, 0.5 could mean a half. */
	if (!strchr(word, '%') || parse_tenths(word, 1, PERMILLE, &permille) < 0)
		return error_usage(err, "'%s' is not a share from 0.1%% to 100%%", word);
	ret->permille = permille;
	return 0;
}

static int rollout_steps_parse_time(const char *word, struct rollout_share *ret, struct error *err)
{
	ret->pauses = !strcmp(word, "pause");
	if (ret->pauses || parse_duration(word, &ret->time) == 0)
		return 0;
	return error_usage(err, "'%s' is neither a time such as 2m nor 'pause'", word);
}

/* @entry: SHARE TIME, or SHARE pause. */
static int rollout_steps_parse_entry(char *entry, struct rollout_share *ret, struct error *err)
{
	char *rest = entry, *share = strtok_r(entry, " \t", &rest);
	char *time = share ? strtok_r(NULL, " \t", &rest) : NULL;
	int r;

	if (!time || strtok_r(NULL, " \t", &rest))
		return error_usage(err,
		                   "a step must be a share and a time, or a share and 'pause', "
		                   "such as 5%% 2m or 50%% pause");
	r = rollout_steps_parse_share(share, ret, err);
	return r < 0 ? r : rollout_steps_parse_time(time, ret, err);
}

int rollout_steps_parse(const char *text, struct rollout_shares *ret, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	struct rollout_shares shares = {};
	char *rest = copy, *entry;

	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	while ((entry = strsep(&rest, ","))) {
		struct rollout_share share = {};
		int r = rollout_steps_parse_entry(entry, &share, err);

		if (r < 0)
			return r;
		if (shares.n == ROLLOUT_SHARES_MAX)
			return error_usage(err, "there are more than %d steps", ROLLOUT_SHARES_MAX);
		if (shares.n && share.permille <= shares.at[shares.n - 1].permille)
			return error_usage(
			        err, "each step must have a greater share than the one before");
		shares.at[shares.n++] = share;
	}
	*ret = shares;
	return 0;
}

bool rollout_steps_lack_measure(const struct rollout_shares *shares,
                                const struct deploy_settings *settings)
{
	const struct rollout_share *last = shares->n ? &shares->at[shares->n - 1] : NULL;

	return last && last->permille == PERMILLE && !last->pauses && !settings->check[0] &&
	       !settings->max_error_rate;
}

/* --- as the engine walks them */

/* How many of the slots have to have the new version, so that none of them has much more than its
 * part: at least one, and never all. */
static unsigned int rollout_steps_count_slots(unsigned int permille, unsigned int n_slots)
{
	const unsigned int n = (permille * n_slots + PERMILLE - 1) / PERMILLE;

	return n < n_slots ? n : n_slots - 1;
}

size_t rollout_steps_plan(enum deploy_strategy strategy, const struct rollout_shares *shares,
                          unsigned int n_slots, struct rollout_step ret[ROLLOUT_STEPS_MAX])
{
	struct rollout_step last = {};
	size_t n = 0;

	for (size_t i = 0; i < shares->n; i++) {
		const struct rollout_share *share = &shares->at[i];
		const bool is_last = share->permille == PERMILLE;
		const struct rollout_step step = {
		        .n_slots = rollout_steps_count_slots(share->permille, n_slots),
		        .permille = is_last ? 0 : share->permille,
		        .time = share->time,
		        .pauses = share->pauses,
		        .judged = true,
		        .at_once = true};

		if (is_last)
			last = step;
		else if (strategy == DEPLOY_CANARY)
			ret[n++] = step;
	}
	last.n_slots = n_slots;
	last.at_once = strategy != DEPLOY_ROLLING;
	ret[n++] = last;
	return n;
}
