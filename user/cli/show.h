/* SPDX-License-Identifier: BSD-2-Clause */
/* What several commands do: take the SERVICE argument, print a service, drain and resume. */
#pragma once

#include "cli/command.h"
#include "view/view.h"

/* For commands whose only argument is [SERVICE]: moves it to invocation->service. */
int take_service_argument(struct invocation *invocation, struct error *err);

/* The slots that the first arguments name, behind an optional SERVICE: takes them off
 * invocation->args, where @keep more must be left. */
int take_slot_arguments(struct invocation *invocation, int keep, struct slots *ret,
                        struct error *err);

/*
 * The status view of an open service; the caller owns *ret (json_object_put()). For a @timer
 * nothing is looked up that scans all processes: foreign listeners have no owner then, and a worker
 * is the process that it was.
 */
int show_take(struct service *service, bool timer, struct json_object **ret, struct error *err);

/* The same, for a timer, of service @name (NULL: the only one), which is opened for that and
 * closed. Returns what service_try_open() does. */
int show_look(const char *name, struct json_object **ret, struct error *err);

/* Observes and prints the service as `status` does. */
int show_status(struct service *service, bool json, struct error *err);

/* After a change: one line, or with @json the status. */
int show_change(struct service *service, bool json, struct error *err);

/* `drain` or `resume` of one slot of service @name. What is refused changes nothing. In
 * cmd_change.c, with the commands of that name. */
int change_slot(const char *name, unsigned int slot, bool drained, struct error *err);
