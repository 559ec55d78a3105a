/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_evidence.h"

#include "base/cleanup.h"
#include "core/latency_baseline.h"
#include "kern/conns.h"
#include "kern/steer_ignored.h"
#include "service/response_stats.h"
#include "supervise/deployment_state.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/response_counting.h"

static const unsigned int percents[] = {50, 90, 99};
_Static_assert(ARRAY_SIZE(percents) == ARRAY_SIZE(((struct deployment *)0)->latency), "each");
_Static_assert(VERDICT_SLOW_P50 + 2 == VERDICT_SLOW_P99, "in this order");

bool deployment_evidence_begin(struct supervisor *sup)
{
	const struct deployment *it = sup->deployment;
	bool is_judged = false;
	struct error err = {};

	for (size_t i = 0; i < it->n_steps; i++)
		is_judged |= it->steps[i].judged;
	if (!is_judged || response_counting_set(sup, true, &it->settings, &err) == 0)
		return is_judged;
	report_line(sup, "HTTP responses are not judged: %s", err.text);
	return false;
}

void deployment_evidence_end(struct supervisor *sup)
{
	struct error err = {};

	if (response_counting_set(sup, sup->plan->config.http, &sup->plan->config.deploy, &err) < 0)
		report_line(sup, "%s", err.text);
}

/* --- responses */

/* Without responses of unknown status: a worker can send any number of them, as bodies that look
 * like status lines. */
static void deployment_evidence_add_class(struct verdict_count *to,
                                          const struct response_count *from)
{
	to->n = response_count_known(from);
	to->bad = from->of[5];
}

static void deployment_evidence_read_responses(const struct supervisor *sup,
                                               struct verdict_counts *ret)
{
	const struct service *service = &sup->service;
	struct deployment *it = sup->deployment;
	_cleanup_free_ struct version_responses *list = NULL;
	struct response_count new, old;
	size_t n;

	if (!response_stats_are_counted(service) ||
	    response_stats_of_versions(service, &list, &n) < 0)
		return;
	new = response_stats_find(list, n, it->label);
	old = response_stats_find(list, n, it->old_label);
	deployment_evidence_add_class(&ret->of[VERDICT_HTTP_5XX].new, &new);
	deployment_evidence_add_class(&ret->of[VERDICT_HTTP_5XX].old, &old);
	ret->of[VERDICT_UNANSWERED] = (struct verdict_pair){
	        .new = {.n = new.asked, .bad = new.unanswered},
	        .old = {.n = old.asked, .bad = old.unanswered},
	};
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++)
		latency_baseline_count(&it->latency[i], new.times, old.times,
		                       &ret->of[VERDICT_SLOW_P50 + i]);
}

/* --- connections */

/* Adds the counts of a worker. The ignored connections are read first: they can be more only if
 * some have come from another worker. Returns 0 or a negative errno. */
static int deployment_evidence_add(const struct steer *steer, const struct worker *w,
                                   struct verdict_count *to, uint64_t *uncounted)
{
	struct steer_ignored_count ignored;
	struct conn_count count;
	struct verdict_count judged;
	int r = steer_ignored_read(steer, w->generation, &ignored);

	if (r == 0)
		r = conns_read_count(steer, w->generation, &count);
	if (r < 0)
		return r;
	judged = verdict_without(
	        &(struct verdict_count){.n = count.of[RPD_CONN_opened],
	                                .bad = count.of[RPD_CONN_reset_by_worker]},
	        &(struct verdict_count){.n = ignored.opened, .bad = ignored.reset_by_worker});
	to->n += judged.n;
	to->bad += judged.bad;
	*uncounted += count.of[RPD_CONN_uncounted];
	return 0;
}

/* @ret_uncounted: the connections of these workers that are not counted. Returns false if a worker
 * has no counts. */
static bool deployment_evidence_read_connections(const struct supervisor *sup,
                                                 struct verdict_pair *ret, uint64_t *ret_uncounted)
{
	*ret_uncounted = 0;
	if (!service_is_open(&sup->service) || !sup->service.conns.counting)
		return false;
	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const struct worker *w = sup->slots[slot].current;
		const bool is_new = reload_state_phase(sup, slot) == ROLLOUT_REPLACED;

		if (w &&
		    (w->generation == RPD_ACCOUNT_NONE ||
		     deployment_evidence_add(&sup->service.steer, w, is_new ? &ret->new : &ret->old,
		                             ret_uncounted) < 0))
			return false;
	}
	return true;
}

void deployment_evidence_begin_step(struct supervisor *sup)
{
	struct verdict_pair ignored = {};

	deployment_evidence_read_connections(sup, &ignored, &sup->deployment->uncounted);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++)
		latency_baseline_begin(&sup->deployment->latency[i], percents[i],
		                       sup->deployment->settings.tolerate);
}

const char *deployment_evidence_read(struct supervisor *sup, struct verdict_counts *ret)
{
	struct verdict_pair resets = {};
	uint64_t uncounted;

	*ret = (struct verdict_counts){};
	deployment_evidence_read_responses(sup, ret);
	if (!deployment_evidence_read_connections(sup, &resets, &uncounted))
		return "; resets are not judged: the connections of a worker are not counted";
	if (uncounted > sup->deployment->uncounted)
		return "; resets are not judged: the table of connections is full, and some are "
		       "not "
		       "counted";
	ret->of[VERDICT_RESETS] = resets;
	return NULL;
}
