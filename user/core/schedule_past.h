/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many connections a version has had. The kernel counts by generation of a slot, and
 * generations are used again; a version's counts must only grow. So they are the counts of its
 * workers in slots, and its past: when a worker leaves the version, its counts are added to the
 * past, and when a worker comes to a version with counts of its own, they are taken from the past.
 * The past is in the schedule: it comes into force with it, in one store.
 *
 * A version begins at 0 when its first worker gets a slot, and is forgotten when no slot has it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

#include "core/conn_count.h"

/* The account of the slot's worker. False if it has none: the slot is empty, or the worker's
 * connections are not counted. */
bool schedule_past_account(const struct rpd_schedule *s, unsigned int slot, uint16_t *ret);

/* Whether the slot has the same account, for the same version, in both schedules. */
bool schedule_past_stays(const struct rpd_schedule *before, const struct rpd_schedule *draft,
                         unsigned int slot);

/* Changes the past in @draft, which is built and comes into force next. @was, @is: the counts of
 * the slot's account in @before and in @draft, all 0 if it has none. */
void schedule_past_change(const struct rpd_schedule *before, struct rpd_schedule *draft,
                          unsigned int slot, const struct conn_count *was,
                          const struct conn_count *is);

/* The counts of a version. @sum: of its workers in slots. */
struct schedule_past_sum {
	uint64_t opened, resets;
};
struct schedule_past_sum schedule_past_total(const struct rpd_version *version,
                                             const struct schedule_past_sum *sum);
