/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoints of a service that is run: which addresses of its workers become endpoints, and when
 * they are removed (core/endpoint_life.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "supervise/types.h"

enum endpoints_outcome {
	ENDPOINTS_COMPLETE,
	ENDPOINTS_MORE, /* some are to be added by the next call, so that other work isn't delayed
	                 */
};

/*
 * Adds the addresses of @w that have become endpoints of the service, and parks connections there.
 * @takes_slot: the worker gets its slot now, and counts as one that has it. Takes the service's
 * lock if there is anything to add. Returns an enum endpoints_outcome, or a negative errno with
 * @err set.
 */
int endpoints_add(struct worker *w, bool takes_slot, struct error *err);

/* Whether the next call adds any, for a worker that does not get its slot yet. */
bool endpoints_has_more(const struct worker *w);

enum endpoints_occasion {
	ENDPOINTS_ANY_TIME,
	/* Endpoints are gone where only workers have listened that are ending now. */
	ENDPOINTS_AFTER_RELOAD,
	ENDPOINTS_AFTER_ROLLBACK,
};

/* Judges each endpoint: removes each one that is gone, and reports it. The service must be locked.
 */
void endpoints_judge(struct supervisor *sup, struct service *service,
                     enum endpoints_occasion occasion);

/* When the park timeout of the next endpoint without a worker is over (CLOCK_MONOTONIC, ns), or 0:
 * no connection waits. */
int64_t endpoints_next_timeout(const struct supervisor *sup);

/* Lets connections wait for the whole park timeout again. */
void endpoints_restart_timeouts(struct supervisor *sup);

/* Whether the worker listens on an endpoint of the service, but isn't admitted there. */
bool endpoints_lacks_admission(const struct worker *w);

/* The configuration names the endpoint, or the port is the worker's own (--increment-var). */
bool endpoints_is_named(const struct supervisor *sup, const struct rpd_endpoint *endpoint);

/* Whether one of the worker's addresses gets the connections of the endpoint if it is closed. */
bool endpoints_is_covered_by(const struct worker *w, const struct rpd_endpoint *endpoint);

/* Logs the addresses of the worker that are not the service's, each once. Does nothing while the
 * service starts or a reload is in progress: the other workers may listen there soon. */
void endpoints_report_own(struct worker *w);

/* Logs once that the workers share several ports, as one of them may be meant as a lock. */
void endpoints_report_shared(struct supervisor *sup);

/*
 * The loopback addresses of the worker stay each worker's own, if it also listens on others. Called
 * for the service's first worker when it is up.
 * @keeps: the endpoints that the service has stay the service's, as for a service that was taken
 * over.
 */
void endpoints_note_private(struct worker *w, bool keeps);

/* The same for addresses that a worker has begun to listen on after the first worker was up. */
void endpoints_note_late(struct worker *w);

/* Makes the hook not share any further loopback address, if the service has endpoints on other
 * addresses only; makes it share them during a reload, as the new workers may listen elsewhere. */
void endpoints_update_private(struct supervisor *sup);
