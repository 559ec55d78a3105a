/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/generation.h"

#include "base/cleanup.h"
#include "core/conn_count.h"
#include "kern/conns.h"
#include "kern/steer_members.h"
#include "service/responses.h"

/* The generation that the newcomer had in @slot before, or RPD_ACCOUNT_NONE. */
static uint16_t generation_of_newcomer(const struct steer_members *members, unsigned int slot,
                                       const struct newcomer *newcomer)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		const struct listener *it = newcomer->listeners[e];
		const struct rpd_member *member =
		        it ? steer_members_find(members, it->cookie) : NULL;

		if (member && member->account % RPD_SLOT_MAX == slot &&
		    member->account < RPD_ACCOUNT_UNKNOWN)
			return member->account;
	}
	return RPD_ACCOUNT_NONE;
}

/* The generations of @slot that may still have an open listener, a bit for each: that of a former
 * worker, which may come back to the slot, or which still has connections in its accept queue. */
static uint32_t generation_list_listening(const struct steer_members *members, unsigned int slot)
{
	uint32_t found = 0;

	for (size_t i = 0; i < members->n; i++) {
		const struct rpd_member *it = &members->list[i].row;

		if (!it->left && it->account % RPD_SLOT_MAX == slot &&
		    it->account < RPD_ACCOUNT_UNKNOWN)
			found |= 1u << it->account / RPD_SLOT_MAX;
	}
	return found;
}

uint16_t generation_choose(struct service *service, const struct steer_members *members,
                           unsigned int slot, const struct rpd_worker *former,
                           const struct newcomer *newcomer)
{
	uint16_t generation = generation_of_newcomer(members, slot, newcomer);
	struct rpd_control *control = service->steer.control;
	uint32_t listening = 0;

	if (!service->conns.counting || generation != RPD_ACCOUNT_NONE)
		return generation;
	if (former->pid)
		listening = generation_list_listening(members, slot);
	for (unsigned int i = 0; i < RPD_ACCOUNT_GENERATIONS; i++) {
		struct conn_count count;

		generation = slot + i * RPD_SLOT_MAX;
		if (former->pid && (former->account == generation || listening & 1u << i))
			continue;
		if (conns_read_count(&service->steer, generation, &count) < 0 ||
		    conn_count_still_open(&count) > 0 ||
		    conns_clear_count(&service->steer, generation) < 0)
			continue;
		responses_keep_past(service, generation);
		if (control->n_generations <= i)
			control->n_generations = i + 1;
		return generation;
	}
	return RPD_ACCOUNT_NONE;
}

bool generation_are_all_used(const struct service *service, const struct rpd_worker *worker)
{
	return service->conns.counting && worker->pid && worker->account == RPD_ACCOUNT_NONE;
}

bool generation_open_connections(const struct service *service, uint16_t generation, uint64_t *ret)
{
	struct conn_count count;

	if (!service->conns.counting || generation >= RPD_ACCOUNT_UNKNOWN ||
	    conns_read_count(&service->steer, generation, &count) < 0)
		return false;
	*ret = conn_count_still_open(&count);
	return true;
}

bool generation_handshakes(const struct service *service, const uint64_t *cookies, size_t n,
                           uint64_t *ret)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	uint64_t sum = 0;
	struct error ignored;
	size_t n_rows;

	if (!groups_are_known(&service->groups) || !service->reachable ||
	    groups_read(&service->groups, &rows, &n_rows, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct rpd_group_member *row = groups_find(rows, n_rows, cookies[i]);

		sum += row ? row->under_way : 0;
	}
	*ret = sum;
	return true;
}
