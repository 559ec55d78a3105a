/* SPDX-License-Identifier: BSD-2-Clause */
/* The steps of a canary: what is accepted ascends, and the plan made of it fits. */
#include "core/rollout_steps.h"
#include "fuzz.h"

static void check_plan(const struct rollout_shares *shares, unsigned int n_slots)
{
	struct rollout_step steps[ROLLOUT_STEPS_MAX];
	const size_t n = rollout_steps_plan(DEPLOY_CANARY, shares, n_slots, steps);

	/* The last step may be given, as 100 %. */
	FUZZ_CHECK(n == shares->n + (shares->at[shares->n - 1].permille < 1000));
	FUZZ_CHECK(steps[n - 1].n_slots == n_slots);
	for (size_t i = 0; i + 1 < n; i++)
		FUZZ_CHECK(steps[i].n_slots >= 1 && steps[i].n_slots < n_slots &&
		           steps[i].n_slots <= steps[i + 1].n_slots);
}

static void run(const char *text, size_t size)
{
	struct rollout_shares shares = {};
	struct error err;

	if (rollout_steps_parse(text, &shares, &err) < 0) {
		FUZZ_CHECK(!shares.n && err.text[0]);
		return;
	}
	FUZZ_CHECK(shares.n >= 1 && shares.n <= ROLLOUT_SHARES_MAX);
	for (size_t i = 0; i < shares.n; i++)
		FUZZ_CHECK(shares.at[i].permille >= 1 && shares.at[i].permille <= 1000 &&
		           shares.at[i].time >= 0 &&
		           (i == 0 || shares.at[i].permille > shares.at[i - 1].permille));
	for (unsigned int n_slots = 2; n_slots <= RPD_SLOT_MAX; n_slots *= 2)
		check_plan(&shares, n_slots);
}

const struct fuzz_target fuzz_target = {run, 64};
