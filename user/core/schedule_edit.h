/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The changes that a user can make to a schedule, as edits of a draft: each checks the request
 * against the draft, and changes the draft's settings. schedule_build() then makes the ring. Pure.
 *
 * A request that is out of range is error_usage(); a request that the state of the service forbids
 * is error_set().
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/slots.h"
#include <reuseportd/abi.h>

/* Checks that each of the slots has, or had, a worker. */
int schedule_edit_check_slots(const struct rpd_schedule *s, const struct slots *slots,
                              struct error *err);

/* @state: RPD_SLOT_DRAINING (`drain`) or RPD_SLOT_ACTIVE (`resume`). */
int schedule_edit_set_state(struct rpd_schedule *s, const struct slots *slots,
                            enum rpd_slot_state state, struct error *err);

/* @weight: 0 to RPD_WEIGHT_MAX. */
int schedule_edit_set_weight(struct rpd_schedule *s, const struct slots *slots, long weight,
                             struct error *err);

/* Makes these slots, and no others, the canaries, which get @permille (1..999) of the connections.
 */
int schedule_edit_set_canary(struct rpd_schedule *s, const struct slots *slots,
                             unsigned int permille, struct error *err);

/* Ends the canary share: each slot gets the share of its weight again. */
void schedule_edit_clear_canary(struct rpd_schedule *s);

/* As schedule_version_is_label(), with an error for the user. */
int schedule_edit_check_label(const char *label, struct error *err);

int schedule_edit_set_label(struct rpd_schedule *s, const struct slots *slots, const char *label,
                            struct error *err);

/* Restricts the ring to slots of version @label. */
int schedule_edit_switch_to(struct rpd_schedule *s, const char *label, struct error *err);

/* Allows all versions in the ring again. */
void schedule_edit_switch_to_all(struct rpd_schedule *s);

/* Prepares @slot for a worker that is being admitted. An empty slot gets the default weight and
 * state, and the version @label; a slot that had a worker before keeps its settings. */
int schedule_edit_fill_slot(struct rpd_schedule *s, unsigned int slot, const char *label,
                            struct error *err);

/*
 * Refuses (-EBUSY) a draft, after schedule_build(), that has no live worker in its ring although
 * the schedule in force has one, or an empty ring although the ring in force has slots, even if
 * their workers are dead. @force allows both. @what: the command, for the message.
 */
int schedule_edit_check_served(const struct rpd_schedule *in_force,
                               const struct rpd_schedule *draft, bool force, const char *what,
                               struct error *err);
