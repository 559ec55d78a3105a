/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/reload_state.h"

#include "supervise/supervisor_state.h"

int reload_state_phase(const struct supervisor *sup, unsigned int slot)
{
	for (size_t i = 0; sup->reload && i < sup->reload->rollout.slots.n; i++)
		if (sup->reload->rollout.slots.at[i] == slot)
			return sup->reload->rollout.phase[i];
	return -1;
}

bool reload_state_has(const struct supervisor *sup, unsigned int slot)
{
	const int phase = reload_state_phase(sup, slot);

	if (phase < 0 || sup->reload->rolling_back)
		return false;
	if (phase >= ROLLOUT_REPLACED && sup->reload->rollout.halt == ROLLOUT_HALT_NO_OLD)
		return false;
	return phase != ROLLOUT_PENDING || !sup->reload->events;
}

bool reload_state_prints_output(const struct supervisor *sup, unsigned int slot)
{
	return reload_state_has(sup, slot) && !sup->reload->rollout.keep_going;
}

bool reload_state_holds(const struct supervisor *sup, unsigned int slot)
{
	const int phase = reload_state_phase(sup, slot);

	if (phase >= 0 && sup->reload->rolling_back)
		return sup->reload->events;
	return phase == ROLLOUT_STARTED || phase == ROLLOUT_READY;
}

bool reload_state_waits_for_room(const struct supervisor *sup, unsigned int slot)
{
	const struct slot *it = &sup->slots[slot];

	return reload_state_has(sup, slot) && sup->reload->in_place && !it->next && !it->current &&
	       reload_state_phase(sup, slot) == ROLLOUT_STARTED;
}

bool reload_state_makes_room(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (reload_state_waits_for_room(sup, slot))
			return true;
	return false;
}

bool reload_state_old_lives(const struct supervisor *sup)
{
	const struct rollout *rollout = &sup->reload->rollout;

	for (size_t i = 0; i < rollout->slots.n; i++) {
		const unsigned int slot = rollout->slots.at[i];

		if ((rollout->phase[i] != ROLLOUT_PENDING &&
		     supervisor_state_held_worker(sup, slot)) ||
		    (sup->slots[slot].current && rollout->phase[i] != ROLLOUT_REPLACED))
			return true;
	}
	return false;
}
