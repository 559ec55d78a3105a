/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/config_drift.h"

#include <stdio.h>

#include "core/dealing.h"
#include "core/endpoint.h"
#include "core/policy.h"
#include "service/service_lock.h"
#include "supervise/report.h"
#include "supervise/supervisor_state.h"

static void config_drift_report_dealing(struct supervisor *sup, const struct service *service)
{
	const struct rpd_schedule *is = steer_schedule(&service->steer);
	const struct dealing *asked = &sup->plan->config.dealing;

	if (is->policy != asked->policy)
		report_line(sup, "policy is still %s, not %s: `reuseportd policy %s %s` changes it",
		            policy_name(is->policy), policy_name(asked->policy), sup->name,
		            policy_name(asked->policy));
	else if (!dealing_is_of(asked, is))
		report_line(sup,
		            "skip-stuck, slow-start and choices are as before: `reuseportd policy "
		            "%s` with these options changes them",
		            sup->name);
}

/* Counting that was asked for and failed is no difference. */
static void config_drift_report_counting(struct supervisor *sup, const struct service *service)
{
	const struct rpd_control *control = service->steer.control;
	const bool is = control->counting || control->counting_error;

	if (is == sup->plan->config.no_count)
		report_line(
		        sup,
		        "connections %s counted, as before, %s no-count: to change that, stop the "
		        "service and run it again",
		        is ? "are" : "are not",
		        is ? "despite" : "although the configuration lacks");
}

/* New `listen` entries, on which the workers that were taken over do not listen. */
static void config_drift_report_added(struct supervisor *sup, const struct rpd_service *info)
{
	const struct run_config *config = &sup->plan->config;
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < config->n_listens; i++) {
		const struct rpd_endpoint *named = &config->listens[i];
		bool is_there = false;

		for (unsigned int e = 0; e < info->n_endpoints; e++)
			is_there |= info->endpoints[e].family &&
			            endpoint_matches(&info->endpoints[e], named);
		if (is_there)
			continue;
		if (named->family)
			endpoint_format(named, text, sizeof(text));
		else
			snprintf(text, sizeof(text), "%u", named->port);
		report_line(
		        sup,
		        "listen %s is new: the workers that were taken over do not listen there; "
		        "`reuseportd reload %s` starts workers that do",
		        text, sup->name);
	}
}

static void config_drift_report_removed(struct supervisor *sup, const struct rpd_service *info)
{
	const struct run_config *config = &sup->plan->config;
	char text[ENDPOINT_TEXT_MAX];

	for (unsigned int e = 0; config->n_listens && e < info->n_endpoints; e++) {
		bool is_named = !info->endpoints[e].family; /* a free entry */

		for (size_t i = 0; i < config->n_listens; i++)
			is_named |= endpoint_matches(&info->endpoints[e], &config->listens[i]);
		if (!is_named)
			report_line(
			        sup,
			        "still serves %s, which no listen names any more, and where new "
			        "workers will not listen: to change that, stop the service and run "
			        "it again",
			        endpoint_format(&info->endpoints[e], text, sizeof(text)));
	}
}

int config_drift_report(struct supervisor *sup, struct error *err)
{
	_cleanup_service_lock_ struct service *service = NULL;
	int r = service_lock(&sup->service, &service, err);

	if (r < 0)
		return r;
	if (sup->n_slots != sup->plan->config.workers)
		report_line(sup, "has %u workers, not %u: `reuseportd scale %s %u` changes that",
		            sup->n_slots, sup->plan->config.workers, sup->name,
		            sup->plan->config.workers);
	config_drift_report_dealing(sup, service);
	config_drift_report_counting(sup, service);
	if (supervisor_state_has_worker(sup))
		config_drift_report_added(sup, service->steer.service);
	config_drift_report_removed(sup, service->steer.service);
	return 0;
}
