/* SPDX-License-Identifier: BSD-2-Clause */
/* A reload that waits until the configuration file has been read (config_read.h). It goes on in the
 * service's turn. */
#pragma once

#include "base/error.h"
#include "core/run_config.h"
#include "supervise/types.h"

struct request;

/* Goes on with the reload. @config: the service's configuration as the file has it now; NULL: it
 * could not be read, and @why says why. */
typedef void (*rereading_done)(struct supervisor *sup, const struct request *request,
                               const struct run_config *config, const struct error *why);

/* Reads the file, and calls @done unless rereading_drop() comes before. Keeps a copy of the
 * request, which has no argv. Returns 0, or a negative errno with @err set. */
int rereading_begin(struct supervisor *sup, const struct request *request, rereading_done done,
                    struct error *err);

/* The service is being stopped: nothing waits for the file any more. */
void rereading_drop(struct supervisor *sup);
