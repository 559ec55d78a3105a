/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to the supervisor of a service that is run (supervise/control_client.h). */
#pragma once

#include <json-c/json.h>

#include "base/error.h"
#include "cli/command.h"

struct supervised {
	char service[RPD_LABEL_MAX];
	unsigned int workers;
};

/* Finds the service that the invocation names, or the only one. Fails if it was not made by `run`.
 */
int ask_supervisor_find(const struct invocation *i, struct supervised *ret, struct error *err);

/* A request to carry out the command @what, with the options --in-place, --keep-going and --batch
 * of the invocation. The caller owns it until ask_supervisor_send(). */
struct json_object *ask_supervisor_new_request(const struct invocation *i, const char *what);

/* Sends @request and releases it. Prints the lines that the supervisor sends, then, with --json,
 * the answer. Returns 0, an enum control_client_outcome, or a negative errno. */
int ask_supervisor_try_send(const struct invocation *i, const char *service,
                            struct json_object *request, struct error *err);

/* As ask_supervisor_try_send(), for commands that need a supervisor: an outcome other than 0 is an
 * error, too. */
int ask_supervisor_send(const struct invocation *i, const char *service,
                        struct json_object *request, struct error *err);

/* A command [SERVICE] SLOT... that the supervisor carries out: `restart`, `start` or `stop`. */
int ask_supervisor_for_slots(struct invocation *i, const char *what, struct error *err);

/* Sends @request, which is about a deployment, and releases it. Prints the lines that the
 * supervisor sends. Returns 0 and the deployment, which the caller owns (json_object_put()), or a
 * negative errno with @err set. */
int ask_supervisor_deploy(const struct invocation *i, const char *service,
                          struct json_object *request, struct json_object **ret, struct error *err);

/* A command [SERVICE] about the deployment that is under way. Releases @request, and prints the
 * deployment. */
int ask_supervisor_about_deployment(struct invocation *i, struct json_object *request,
                                    struct error *err);
