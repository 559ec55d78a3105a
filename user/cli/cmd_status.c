/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/positional.h"
#include "view/service_status.h"

int cmd_status(struct invocation *i, struct error *err)
{
	_cleanup_service_ struct service service;
	int r;

	service_init(&service);
	if (i->watch && i->json)
		return error_usage(err, "--watch and --json can't be combined");
	if (i->watch)
		return cmd_top(i, err);
	r = positional_take_service(i, err);
	if (r == 0)
		r = service_open(&service, i->service, err);
	return r < 0 ? r : service_status_print(&service, i->json, err);
}
