/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that have a service's listeners open (kern/proc_holders.h). If the service is run,
 * the search is bounded: the supervisor's event loop waits for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/listener.h"

/* @run: the name of the service if it is run, or NULL. Of that service only the processes of
 * workers that are or were in these slots count (true in @slots[RPD_SLOT_MAX]): others, and their
 * descriptors, may be any number. The caller frees *ret. */
int service_holders_find(const char *run, const bool *slots, const struct listener *listeners,
                         size_t n, struct holder **ret, size_t *ret_n, struct error *err);

/* The same with the processes of all workers or, if none of these has a listener open, with as many
 * of all processes as a bounded search examines. */
int service_holders_find_any(const char *run, const struct listener *listeners, size_t n,
                             struct holder **ret, size_t *ret_n, struct error *err);
