/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts the steering program back where another one has replaced it, or a listener avoids it. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "kern/in_force.h"
#include "service/service.h"

/* Where in_force_restore() reports what it does: a line for each endpoint, at most once a minute,
 * as another program may replace ours over and over. Zero but for @say and @data. */
struct in_force_restore_report {
	void (*say)(const char *line, void *data);
	void *data;
	int64_t said_at[RPD_ENDPOINT_MAX]; /* CLOCK_MONOTONIC, ns; 0 = never */
};

/*
 * Attaches our program again to each group of @found that has lost it (in_force_is_lost()), reports
 * that and notes the event. The service must be locked. @own: a listener of the caller in each
 * endpoint, or -1; NULL: none. Returns the number of groups, or a negative errno with @err set if
 * one could not be restored. It is no error if the last listener of a group has closed.
 */
int in_force_restore(struct service *service, const struct in_force *found,
                     const int own[RPD_ENDPOINT_MAX], struct in_force_restore_report *report,
                     struct error *err);

/* The same until nothing is lost: of the listeners that avoid the program, each call of
 * in_force_restore() finds one in a group. Returns how many calls have restored something. */
int in_force_restore_all(struct service *service, struct in_force_restore_report *report,
                         struct error *err);
