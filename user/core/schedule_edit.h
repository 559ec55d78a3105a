/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user can ask of a schedule, as edits of a draft: each checks what was asked against
 * what is there, and changes the draft's settings. schedule_build() then makes the ring. Pure.
 *
 * Slots and shares that are out of range are error_usage(); what the state of the service forbids
 * is error_set().
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/slots.h"
#include "core/schedule_version.h"
#include <reuseportd/abi.h>

/* Every one of the slots must have, or have had, a worker. */
int schedule_edit_check_slots(const struct rpd_schedule *s, const struct slots *slots,
                              struct error *err);

/* RPD_SLOT_DRAINING (`drain`) or RPD_SLOT_ACTIVE (`resume`). */
int schedule_edit_set_state(struct rpd_schedule *s, const struct slots *slots,
                            enum rpd_slot_state state, struct error *err);

/* @weight: 0 to RPD_WEIGHT_MAX. */
int schedule_edit_set_weight(struct rpd_schedule *s, const struct slots *slots, long weight,
                             struct error *err);

/* These slots, and no others, get @permille (1..999) of the connections. */
int schedule_edit_set_canary(struct rpd_schedule *s, const struct slots *slots,
                             unsigned int permille, struct error *err);

/* Each slot gets its weight's share again. */
void schedule_edit_clear_canary(struct rpd_schedule *s);

/* What schedule_version_is_label() says, for the user. */
int schedule_edit_check_label(const char *label, struct error *err);

int schedule_edit_set_label(struct rpd_schedule *s, const struct slots *slots, const char *label,
                            struct error *err);

/* Only slots of version @label are in the ring. */
int schedule_edit_switch_to(struct rpd_schedule *s, const char *label, struct error *err);

/* All versions are in the ring. */
void schedule_edit_switch_to_all(struct rpd_schedule *s);

/* Sets up @slot for a worker that was just admitted: weight, version and state of an empty slot;
 * a slot that had a worker before keeps what the user asked of it. */
int schedule_edit_fill_slot(struct rpd_schedule *s, unsigned int slot, const char *label,
                            struct error *err);

/*
 * Refuses (-EBUSY) a built draft that leaves no live worker in the ring where the schedule in
 * force has one, or nobody at all where there was somebody, be he dead, unless @force. @what: what
 * is being done, for the message.
 */
int schedule_edit_check_served(const struct rpd_schedule *in_force,
                               const struct rpd_schedule *draft, bool force, const char *what,
                               struct error *err);
