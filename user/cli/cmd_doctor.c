/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "base/cleanup.h"
#include "cli/doctor_run.h"
#include "cli/positional.h"
#include "kern/doctor_host.h"
#include "kern/netns.h"
#include "kern/pins.h"
#include "service/doctor_service.h"
#include "service/drain_mark.h"
#include "view/answer.h"
#include "view/doctor_view.h"

/* Checks all services, or the one that the user named. */
static int cmd_doctor_check_services(const struct invocation *i, struct doctor_checks *checks,
                                     struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	uint64_t netns = 0, ino;
	struct error ignored;
	size_t n;
	int r = pins_list_services(&names, &n, err);

	if (r < 0)
		return r == -EACCES && !i->service ? 0 : r;
	/* Read before a service is opened: that enters the service's network namespace. */
	netns_identify(&netns, &ino, &ignored);
	if (i->service)
		return doctor_service(i->service, netns, checks, err);
	for (size_t s = 0; r == 0 && s < n; s++)
		r = doctor_service(names[s], netns, checks, err);
	return r;
}

static int cmd_doctor_check_draining(struct doctor_checks *checks)
{
	return drain_mark_read(NULL) ? doctor_checks_add(checks, CHECK_NOTE, "draining",
	                                                 "`reuseportd resume-host` ends it",
	                                                 "the host is draining: /ready answers 503")
	                             : 0;
}

int cmd_doctor(struct invocation *i, struct error *err)
{
	struct doctor_checks checks = {};
	int r = positional_take_service(i, err);

	if (r < 0)
		return r;
	r = doctor_host_check(&checks);
	if (r == 0)
		r = doctor_run_check(&checks);
	if (r == 0)
		r = cmd_doctor_check_draining(&checks);
	if (r < 0)
		error_set(err, r, "out of memory");
	else
		r = cmd_doctor_check_services(i, &checks, err);
	if (r == 0) {
		answer_print(doctor_view_new(&checks), i->json, doctor_view_print);
		r = doctor_checks_worst(&checks) == CHECK_FAIL ? EXIT_REFUSED : EXIT_OK;
	}
	doctor_checks_free(&checks);
	return r;
}
