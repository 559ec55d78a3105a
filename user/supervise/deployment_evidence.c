/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_evidence.h"

#include "kern/conns.h"
#include "supervise/reload_state.h"

/* The kernel does not say which clients were reset: each reset counts, and a burst of one client
 * counts more than once. */
static void deployment_evidence_add(struct verdict_count *to, const struct conn_count *from)
{
	to->n += from->of[RPD_CONN_opened];
	to->bad += from->of[RPD_CONN_reset_by_worker];
	to->clients += from->of[RPD_CONN_reset_by_worker];
}

enum deployment_evidence_outcome deployment_evidence_read(const struct supervisor *sup,
                                                          struct verdict_counts *ret,
                                                          const char **ret_why)
{
	struct verdict_pair *resets = &ret->of[VERDICT_RESETS];
	uint64_t uncounted = 0;

	*ret = (struct verdict_counts){};
	*ret_why = "connections are not counted";
	if (!service_is_open(&sup->service) || !sup->service.conns.counting)
		return DEPLOYMENT_EVIDENCE_NOT_COUNTED;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const struct worker *w = sup->slots[slot].current;
		const bool is_new = reload_state_phase(sup, slot) == ROLLOUT_REPLACED;
		struct conn_count count;

		if (!w)
			continue;
		if (w->generation == RPD_ACCOUNT_NONE ||
		    conns_read_count(&sup->service.steer, w->generation, &count) < 0)
			return DEPLOYMENT_EVIDENCE_NOT_COUNTED;
		deployment_evidence_add(is_new ? &resets->new : &resets->old, &count);
		uncounted += count.of[RPD_CONN_uncounted];
	}
	*ret_why = "some connections are not counted, because the table of connections is full";
	return uncounted ? DEPLOYMENT_EVIDENCE_NOT_COUNTED : DEPLOYMENT_EVIDENCE_COUNTED;
}
