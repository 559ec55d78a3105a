/* SPDX-License-Identifier: BSD-2-Clause */
/* For commands: sends a request to the supervisor of a service (control.h has the protocol). */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct json_object;
struct sockaddr_un;

/* Outcomes of control_client_ask() beside 0; @err is set as well. */
enum control_client_outcome {
	CONTROL_NO_SUPERVISOR = 1,
	CONTROL_SUPERVISOR_ENDED, /* without an answer */
};

/* Sends @request to the supervisor of @service, and calls @on_line for each line that it reports.
 * Returns 0 if the supervisor has carried it out, and *ret is then its answer, which the caller
 * owns (json_object_put()); @ret may be NULL. Otherwise returns an enum control_client_outcome
 * or a negative errno, and sets @err: to the supervisor's own text and exit status, if it has
 * refused or failed. */
int control_client_ask(const char *service, const char *request,
                       void (*on_line)(const char *line, void *data), void *data,
                       struct json_object **ret, struct error *err);

/* The address of the service's control socket. */
void control_client_address(const char *service, struct sockaddr_un *ret);
