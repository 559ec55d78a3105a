/* SPDX-License-Identifier: BSD-2-Clause */
/* Queries about a supervisor: what its slots have, and whether it still has work. */
#pragma once

#include <stdbool.h>

#include "core/slots.h"
#include "supervise/types.h"

/* Whether any slot has a worker. */
bool supervisor_state_has_worker(const struct supervisor *sup);
/* Whether the worker of any slot has an admitted listener. */
bool supervisor_state_has_listener(const struct supervisor *sup);
bool supervisor_state_has_failed_slot(const struct supervisor *sup);

/* Whether a slot has settled: it is up, failed or stopped. The second form is for all of @slots,
 * the third for all slots of the service. */
bool supervisor_state_slot_is_settled(const struct supervisor *sup, unsigned int slot);
bool supervisor_state_are_settled(const struct supervisor *sup, const struct slots *slots);
bool supervisor_state_is_settled(const struct supervisor *sup);

/* Whether no slot has a worker or will get one. */
bool supervisor_state_is_finished(const struct supervisor *sup);
/* The same, and its workers are jobs, which are not restarted: a reload of all services does not
 * run them again. */
bool supervisor_state_has_done_jobs(const struct supervisor *sup);
/* Whether any service of this process still has work. Without one, the process ends. */
bool supervisor_state_has_work(const struct supervisor *sup);

unsigned int supervisor_state_n_starting(const struct supervisor *sup);

/* The worker that had the slot before and keeps running in case the reload fails, or NULL. */
struct worker *supervisor_state_held_worker(const struct supervisor *sup, unsigned int slot);
