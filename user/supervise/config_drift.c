/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service keeps of how it was made when it is taken over, whatever our configuration says
 * now: that is told, with what changes it. */
#include <stdio.h>

#include "core/endpoint.h"
#include "supervise/types.h"
#include "core/policy.h"

static void config_drift_say_policy(struct supervisor *sup, const struct service *service)
{
	const enum rpd_policy is = steer_schedule(&service->steer)->policy;
	const enum rpd_policy asked = sup->plan->config.policy;

	if (is != asked)
		supervisor_log(
		        sup,
		        "keeps policy %s from before, not %s: stop the service and run it anew to "
		        "change that",
		        policy_name(is), policy_name(asked));
}

/* Where it was wanted and could not be, that has its own reason. */
static void config_drift_say_counting(struct supervisor *sup, const struct service *service)
{
	const struct rpd_control *control = service->steer.control;
	const bool is = control->counting || control->counting_error;

	if (is == sup->plan->config.no_count)
		supervisor_log(
		        sup,
		        "connections %s counted, as before, %s no-count: stop the service and run "
		        "it anew to change that",
		        is ? "are" : "are not", is ? "in spite of" : "although there is no");
}

/* What the workers that were taken over don't listen on. */
static void config_drift_say_added(struct supervisor *sup, const struct rpd_service *info)
{
	const struct run_config *config = &sup->plan->config;
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < config->n_listens; i++) {
		const struct rpd_endpoint *named = &config->listens[i];
		bool is_there = false;

		for (unsigned int e = 0; e < info->n_endpoints; e++)
			is_there |= endpoint_matches(&info->endpoints[e], named);
		if (is_there)
			continue;
		if (named->family)
			endpoint_format(named, text, sizeof(text));
		else
			snprintf(text, sizeof(text), "%u", named->port);
		supervisor_log(sup,
		               "listen %s is new: the workers that were taken over are not there; "
		               "`reuseportd reload %s` starts such as are",
		               text, sup->name);
	}
}

static void config_drift_say_removed(struct supervisor *sup, const struct rpd_service *info)
{
	const struct run_config *config = &sup->plan->config;
	char text[ENDPOINT_TEXT_MAX];

	for (unsigned int e = 0; config->n_listens && e < info->n_endpoints; e++) {
		bool is_named = false;

		for (size_t i = 0; i < config->n_listens; i++)
			is_named |= endpoint_matches(&info->endpoints[e], &config->listens[i]);
		if (!is_named)
			supervisor_log(
			        sup,
			        "still has %s, which no listen names any more, and which new "
			        "workers don't serve: stop the service and run it anew",
			        endpoint_format(&info->endpoints[e], text, sizeof(text)));
	}
}

int config_drift_report(struct supervisor *sup, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	r = service_open(&service, sup->name, err);
	if (r < 0)
		return r;
	if (sup->n_slots != sup->plan->config.workers)
		supervisor_log(sup, "has %u workers, not %u; `reuseportd scale %s %u` changes that",
		               sup->n_slots, sup->plan->config.workers, sup->name,
		               sup->plan->config.workers);
	config_drift_say_policy(sup, &service);
	config_drift_say_counting(sup, &service);
	if (slot_any(sup))
		config_drift_say_added(sup, service.steer.service);
	config_drift_say_removed(sup, service.steer.service);
	return 0;
}
