/* SPDX-License-Identifier: BSD-2-Clause */
/* Map "workers": a row for each slot with the worker that is meant to be in it. A slot has a row in
 * force, and an idle one (RPD_CELL_MAX): functions without "idle" mean the former. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kern/steer.h"

/* Reads or writes the row of one slot. */
int steer_workers_get(const struct steer *steer, unsigned int slot, struct rpd_worker *ret);
int steer_workers_set(struct steer *steer, unsigned int slot, const struct rpd_worker *worker);

/* Writes the idle row of one slot. */
int steer_workers_set_idle(struct steer *steer, unsigned int slot, const struct rpd_worker *worker);

/* Reads the rows of the first @n slots. */
int steer_workers_read(const struct steer *steer, size_t n, struct rpd_worker *ret);

/* Changes only what the supervisor is about to do with the slot; its worker stays. */
int steer_workers_set_run(struct steer *steer, unsigned int slot, enum rpd_run run, bool ended,
                          uint32_t restarts);

/* Records why the slot's worker has ended or failed; text that is too long is cut. */
int steer_workers_set_why(struct steer *steer, unsigned int slot, const char *why);
