/* SPDX-License-Identifier: BSD-2-Clause */
/* A request for a reload or a deployment that waits: until the configuration file has been read
 * (config_read.h), or until the deployment before it has ended. It goes on in the service's turn.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/run_config.h"
#include "supervise/types.h"

struct request;

/* Goes on with the request. @config: the service's configuration as the file has it now, or NULL
 * without a file. @why: the file could not be read; or NULL. */
typedef void (*postponed_done)(struct supervisor *sup, const struct request *request,
                               const struct run_config *config, const struct error *why);

/* Reads the file, and calls @done unless postponed_drop() comes before. Keeps a copy of the
 * request. Returns 0, or a negative errno with @err set. */
int postponed_until_read(struct supervisor *sup, const struct request *request, postponed_done done,
                         struct error *err);

/* Keeps copies of the request and of @config, which may be NULL, until postponed_go_on() or
 * postponed_drop(). Returns 0, or a negative errno with @err set. */
int postponed_until_ended(struct supervisor *sup, const struct request *request,
                          const struct run_config *config, postponed_done done, struct error *err);

/* Whether a reload waits. */
bool postponed_is_reload(const struct supervisor *sup);

/* The deployment in progress has ended, or can't end: calls @done, if a request waits for that. */
void postponed_go_on(struct supervisor *sup);

/* The service is being stopped: no request waits any more. */
void postponed_drop(struct supervisor *sup);
