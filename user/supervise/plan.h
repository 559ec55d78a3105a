/* SPDX-License-Identifier: BSD-2-Clause */
/* A plan is a run_config with a reference count: the workers, slots and reloads that use it share
 * it. */
#pragma once

#include <sys/types.h>

#include "core/run_config.h"
#include "supervise/types.h"

/* Copies @config into a plan with one reference. NULL: out of memory. */
struct plan *plan_new(const struct run_config *config);
struct plan *plan_ref(struct plan *plan);
/* Drops a reference, and frees the plan with the last one. NULL is allowed. */
void plan_unref(struct plan *plan);

/* Stores @plan, with its reference, at @at, and drops the reference that was there. */
void plan_replace(struct plan **at, struct plan *plan);

/* The user that owns the listeners of workers with this configuration. The kernel lets only
 * processes of one user share a port. A user that can't be found counts as our own. */
uid_t plan_listener_uid(const struct run_config *config);
