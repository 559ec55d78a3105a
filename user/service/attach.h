/* SPDX-License-Identifier: BSD-2-Clause */
/* `attach`: makes a service of servers that already run. */
#pragma once

#include "base/error.h"
#include "service/discover.h"
#include "service/service.h"

struct attach_request {
	const char *service; /* NULL: PROGRAM-PORT */
	struct wanted wanted;
	double wait; /* seconds that missing workers may take to appear */
	enum rpd_policy policy;
	uint32_t max_conns;               /* open connections that can be counted, 0 = none are */
	bool strict;                      /* refuse, rather than fall back to the kernel's hash */
	const char *label;                /* the workers' version */
	void (*waiting)(const char *why); /* told, when it changes, what is waited for */
};

/*
 * Finds the workers, fills the slots, attaches the program to every group. All or nothing: what
 * fails, or is killed, before the end leaves no service. The service is then open and locked in
 * @ret. @ret_notes: what was left out, a line each; NULL if nothing; the caller frees it.
 */
int attach(const struct attach_request *request, struct service *ret, char **ret_notes,
           struct error *err);
