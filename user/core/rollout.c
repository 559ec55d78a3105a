/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rollout.h"

#include <string.h>

void rollout_begin(struct rollout *rollout, const struct slots *slots, unsigned int batch,
                   bool keep_going)
{
	memset(rollout, 0, sizeof(*rollout));
	rollout->slots = *slots;
	rollout->batch = batch ? batch : 1;
	rollout->keep_going = keep_going;
}

unsigned int rollout_count(const struct rollout *rollout, enum rollout_phase phase)
{
	unsigned int n = 0;

	for (size_t i = 0; i < rollout->slots.n; i++)
		n += rollout->phase[i] == phase;
	return n;
}

enum rollout_verdict rollout_next(struct rollout *rollout, unsigned int spare,
                                  unsigned int *ret_slot)
{
	unsigned int started = rollout_count(rollout, ROLLOUT_STARTED);

	if (!rollout->keep_going && rollout_count(rollout, ROLLOUT_FAILED))
		return ROLLOUT_ROLLBACK;
	if (started && !spare)
		return ROLLOUT_WAIT;
	for (size_t i = 0; i < rollout->slots.n && started < rollout->batch; i++)
		if (rollout->phase[i] == ROLLOUT_PENDING) {
			rollout->phase[i] = ROLLOUT_STARTED;
			*ret_slot = rollout->slots.at[i];
			return ROLLOUT_START;
		}
	return started ? ROLLOUT_WAIT : ROLLOUT_COMMIT;
}

void rollout_record(struct rollout *rollout, unsigned int slot, enum rollout_phase phase)
{
	for (size_t i = 0; i < rollout->slots.n; i++)
		if (rollout->slots.at[i] == slot && rollout->phase[i] != ROLLOUT_PENDING)
			rollout->phase[i] = phase;
}
