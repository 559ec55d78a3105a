/* SPDX-License-Identifier: BSD-2-Clause */
/* What the steering program of a bed has counted, and what the kernel has counted of its runs. */
#pragma once

#include "steering/bed.h"

/* One counter of a row, of all CPUs. */
uint64_t counters_row(const struct bed *bed, unsigned int row, enum rpd_outcome outcome);

/* One counter, of all rows. */
uint64_t counters_total(const struct bed *bed, enum rpd_outcome outcome);

/* All counters of all rows. */
uint64_t counters_sum(const struct bed *bed);

/* Lets the kernel count runs of programs until the case ends. */
void counters_watch_runs(struct bed *bed);

/* Runs that were counted, of all endpoints' programs. */
uint64_t counters_runs(const struct bed *bed);
