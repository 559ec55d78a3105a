/* SPDX-License-Identifier: BSD-2-Clause */
/* `attach`: makes a service of servers that already run. */
#pragma once

#include "base/error.h"
#include "core/dealing.h"
#include "service/discover.h"
#include "service/service.h"

struct attach_request {
	const char *service; /* NULL: PROGRAM-PORT */
	struct discover_wanted wanted;
	double wait; /* seconds to wait for missing workers */
	struct dealing dealing;
	uint32_t max_conns; /* open connections that can be counted; 0 = count none */
	bool http;          /* count HTTP responses */
	bool strict;        /* refuse connections, rather than fall back to the kernel's hash */
	const char *label;  /* the workers' version */
	/* Called with what is missing when attach begins to wait, and whenever that changes. */
	void (*report_waiting)(const char *why);
	void (*on_wait)(void *data); /* called several times a second while attach waits, or NULL */
	void *data;
};

/*
 * Finds the workers, fills the slots, attaches the program to every group. All or nothing: if it
 * fails, or is killed before the end, there is no service. On success the service is open and
 * locked in @ret. @ret_notes: which listeners were left out and why, and which programs were
 * replaced, a line each, or NULL; the caller frees it. Returns 0, or a negative errno with @err
 * set.
 */
int attach(const struct attach_request *request, struct service *ret, char **ret_notes,
           struct error *err);
