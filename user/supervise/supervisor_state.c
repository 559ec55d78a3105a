/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/supervisor_state.h"

#include "supervise/worker_listeners.h"

bool supervisor_state_has_worker(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current)
			return true;
	return false;
}

bool supervisor_state_has_listener(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && worker_listeners_has_any(sup->slots[slot].current))
			return true;
	return false;
}

bool supervisor_state_has_failed_slot(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].run == RPD_RUN_FAILED)
			return true;
	return false;
}

bool supervisor_state_slot_is_settled(const struct supervisor *sup, unsigned int slot)
{
	return sup->slots[slot].run != RPD_RUN_STARTING && sup->slots[slot].run != RPD_RUN_BACKOFF;
}

bool supervisor_state_are_settled(const struct supervisor *sup, const struct slots *slots)
{
	for (size_t i = 0; i < slots->n; i++)
		if (!supervisor_state_slot_is_settled(sup, slots->at[i]))
			return false;
	return true;
}

bool supervisor_state_is_settled(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (!supervisor_state_slot_is_settled(sup, slot))
			return false;
	return true;
}

bool supervisor_state_is_finished(const struct supervisor *sup)
{
	if (sup->reload || sup->postponed)
		return false;
	if (!sup->plan->config.restart && sup->plan->config.cron_restart)
		return false;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		enum rpd_run run = sup->slots[slot].run;

		if (run != RPD_RUN_FAILED && (run != RPD_RUN_STOPPED || sup->plan->config.restart))
			return false;
	}
	return true;
}

bool supervisor_state_has_done_jobs(const struct supervisor *sup)
{
	return !sup->plan->config.restart && supervisor_state_is_finished(sup);
}

bool supervisor_state_has_work(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->all->n; i++) {
		const struct supervisor *other = sup->all->list[i];

		if (!other->ended && !other->stopping && !supervisor_state_is_finished(other))
			return true;
	}
	return false;
}

unsigned int supervisor_state_n_starting(const struct supervisor *sup)
{
	unsigned int n = 0;

	for (const struct worker *w = sup->workers; w; w = w->next)
		n += w->state == WORKER_STARTING;
	return n;
}

struct worker *supervisor_state_held_worker(const struct supervisor *sup, unsigned int slot)
{
	for (struct worker *w = sup->workers; w; w = w->next)
		if (w->slot == slot && w->state == WORKER_HELD)
			return w;
	return NULL;
}
