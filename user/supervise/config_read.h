/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the configuration file again for the services of this process, in a child process: the loop
 * goes on meanwhile. There is one child at a time, and it has a limited time. A request that comes
 * while it runs waits for the next child, as the file may have changed since the child has read it.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "config/args.h"

struct config_read;

/* @r: what args_load() has returned, with @err set if it is negative, or @loaded. The request is no
 * longer there when this is called. */
typedef void (*config_read_done)(void *data, int r, const struct load_result *loaded,
                                 const struct error *err);

/* @args: names the file. @first: what args_load() has returned at the start: the services that run,
 * and warnings that are not logged again. Both must outlive *ret. Returns 0 or a negative errno. */
int config_read_new(sd_event *loop, const struct args *args, const struct load_result *first,
                    struct config_read **ret);

/* Calls @done(@data, ...) when the file, in its present state, has been read. -ENOMEM. */
int config_read_request(struct config_read *reader, config_read_done done, void *data);

/* Whether a request with this @data waits. */
bool config_read_has(const struct config_read *reader, const void *data);

/* Drops the requests with this @data; ends the child if nothing waits for it. */
void config_read_drop(struct config_read *reader, const void *data);

/* The configuration of that service; NULL if the file has it no more. */
const struct run_config *config_read_find(const struct load_result *loaded, const char *service);

/* Ends the child, and drops all requests. NULL is allowed. */
void config_read_free(struct config_read *reader);
