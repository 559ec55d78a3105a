/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/schedule_change.h"

#include "view/service_status.h"
#include "kern/events.h"
#include "service/deployment_file.h"
#include "service/drain_wait.h"
#include "service/service_in_force.h"
#include "service/schedule_commit.h"

int schedule_change_apply(const struct invocation *i, const struct schedule_change *change,
                          struct service *service, struct observed *observed, struct error *err)
{
	struct rpd_schedule draft;
	int r = service_open(service, i->service, err);

	if (r == 0 && change->shares)
		r = deployment_file_require_none(service->pins.service, err);
	if (r == 0)
		r = service_in_force_require(service, err);
	if (r == 0)
		r = observe(service, OBSERVE_UNCLEAR, observed, err);
	if (r < 0)
		return r;
	schedule_commit_begin(service, observed, &draft);
	r = change->edit(&draft, change, err);
	if (r == 0 && i->wait_empty)
		r = drain_wait_check(service, observed, &change->slots, err);
	if (r == 0)
		r = schedule_commit(service, observed, &draft, i->force, change->what, err);
	if (r == 0)
		events_note_slots(&service->steer, change->event, &change->slots, change->detail);
	return r;
}

int schedule_change_run(const struct invocation *i, const struct schedule_change *change,
                        struct error *err)
{
	_cleanup_service_ struct service service;
	_cleanup_observed_ struct observed observed = {};
	int r;

	service_init(&service);
	r = schedule_change_apply(i, change, &service, &observed, err);
	return r < 0 ? r : service_status_print_summary(&service, i->json, err);
}
