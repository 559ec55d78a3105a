/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the status view of a service (view/status_view.h), and prints it. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "base/error.h"
#include "service/service.h"
#include "view/worker_view.h"

/*
 * The status of an open service. The caller owns *ret (json_object_put()). With @scan all processes
 * are scanned for the owners of foreign listeners and of listeners that no process was seen to
 * poll; a function that is called at an interval leaves that out.
 */
int service_status_read(struct service *service, bool scan, enum worker_view_detail detail,
                        struct json_object **ret, struct error *err);

/* As service_status_read() without @scan, for service @name (NULL = the only one), which is opened
 * and closed. Returns what service_try_open() does. */
int service_status_read_named(const char *name, enum worker_view_detail detail,
                              struct json_object **ret, struct error *err);

/* Prints the status of an open service, as JSON or as text, and unlocks the service. */
int service_status_print(struct service *service, bool json, struct error *err);

/* The same after a change: the text is one line. */
int service_status_print_summary(struct service *service, bool json, struct error *err);
