/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts the steering program back where another one has replaced it, or a listener avoids it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/groups.h"
#include "service/service.h"

/* Where in_force_restore() reports what it does: a line of each kind for each endpoint, at most
 * once a minute, as another program may replace ours over and over. Zero but for @say and @data. */
struct in_force_restore_report {
	void (*say)(const char *line, void *data);
	void *data;
	/* CLOCK_MONOTONIC, ns; 0 = never */
	int64_t said_at[RPD_ENDPOINT_MAX], said_rejoined_at[RPD_ENDPOINT_MAX],
	        said_failed_at[RPD_ENDPOINT_MAX];
	int64_t failed_at; /* turning SO_REUSEPORT on: for a minute, it is not tried again */
};

/*
 * Attaches our program again to each group of @rows (groups_read()) that has lost it, turns
 * SO_REUSEPORT of listeners that avoid it on again, reports that and notes the event. The service
 * must be locked. @own: a listener of the caller in each endpoint, or -1; NULL: none. Returns how
 * much was restored, or a negative errno with @err set if a program could not be. A listener that
 * still avoids the program is reported, and no error; nor is it one if the last listener of a group
 * has closed.
 */
int in_force_restore(struct service *service, const struct rpd_group_member *rows, size_t n,
                     const int own[RPD_ENDPOINT_MAX], struct in_force_restore_report *report,
                     struct error *err);

/* Reads the rows, and does the same. */
int in_force_restore_once(struct service *service, struct in_force_restore_report *report,
                          struct error *err);

/* The same until nothing is lost, but only a few times: other processes may go on. Returns how many
 * times something was restored. */
int in_force_restore_all(struct service *service, struct in_force_restore_report *report,
                         struct error *err);
