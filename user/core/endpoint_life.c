/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/endpoint_life.h"

static bool endpoint_life_is_the_services(const struct endpoint_seen *seen)
{
	return seen->named || 2 * (seen->listening + seen->closed) > seen->workers;
}

/* A worker in a slot listens there. During a reload old and new workers may differ: whether the
 * endpoint stays the service's is judged when the reload has ended. */
static enum endpoint_life endpoint_life_of_listened(enum endpoint_life state,
                                                    const struct endpoint_seen *seen)
{
	if (endpoint_life_is_the_services(seen))
		return ENDPOINT_SERVED;
	if (state == ENDPOINT_CANDIDATE)
		return ENDPOINT_CANDIDATE;
	return seen->reloading ? ENDPOINT_SERVED : ENDPOINT_GONE;
}

/* Connections wait for a worker that starts, unless it is one more beside workers that serve
 * without that endpoint. */
static bool endpoint_life_waits_for_start(const struct endpoint_seen *seen)
{
	return seen->awaited && (seen->named || seen->reloading || seen->workers == 0);
}

enum endpoint_life endpoint_life_next(enum endpoint_life state, const struct endpoint_seen *seen)
{
	if (seen->listening)
		return endpoint_life_of_listened(state, seen);
	if (endpoint_life_waits_for_start(seen))
		return ENDPOINT_ORPHANED;
	if (state == ENDPOINT_CANDIDATE)
		return ENDPOINT_CANDIDATE;
	/* Without any worker the service keeps its endpoints, where it refuses connections. */
	if (seen->reloading || seen->workers == 0)
		return ENDPOINT_ORPHANED;
	if (seen->covered || seen->dropped || seen->overdue || !seen->was_served)
		return ENDPOINT_GONE;
	return ENDPOINT_ORPHANED;
}
