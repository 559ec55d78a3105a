/* SPDX-License-Identifier: BSD-2-Clause */
/* A change of a service's schedule: one edit of a draft, which is then committed. */
#pragma once

#include "base/error.h"
#include "cli/command.h"
#include "core/dealing.h"
#include "core/slots.h"
#include "service/observe.h"
#include "service/service.h"

struct schedule_change {
	const char *what; /* for messages: "drain" */
	enum rpd_event_kind event;
	int (*edit)(struct rpd_schedule *draft, const struct schedule_change *change,
	            struct error *err);
	bool shares; /* changes shares or versions: refused during a deployment, which has its own
	              */
	struct slots slots;
	long number;
	const char *version;
	const struct dealing *dealing;
	char detail[RPD_LABEL_MAX]; /* the event's text */
};

/* Opens the invocation's service, puts the change in force and adds the event. The service stays
 * open and locked. A change that is refused has no effect. */
int schedule_change_apply(const struct invocation *i, const struct schedule_change *change,
                          struct service *service, struct observed *observed, struct error *err);

/* Applies the change and prints the answer: one line, or the status as JSON. */
int schedule_change_run(const struct invocation *i, const struct schedule_change *change,
                        struct error *err);
