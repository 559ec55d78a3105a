/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change of the schedule: take a draft, edit it (core/schedule_edit.h), put it in force. A
 * schedule is in force once it is in the kernel and no run of the program still uses the former
 * one.
 */
#pragma once

#include "base/error.h"
#include "service/observed.h"
#include "service/service.h"

/* A copy of the schedule in force, updated by schedule_commit_note_observed(). */
void schedule_commit_begin(const struct service *service, const struct observed *observed,
                           struct rpd_schedule *ret_draft);

/* Marks the dead slots in the draft, and clears the stalled mark of slots that are served again. */
void schedule_commit_note_observed(struct rpd_schedule *draft, const struct observed *observed);

/*
 * Builds the draft's ring and puts it in force. Unless @force, refuses to leave no live worker in
 * the ring; @what is the change, for the message. Returns 0, or a negative errno with @err set; on
 * failure nothing has changed.
 */
int schedule_commit(struct service *service, const struct observed *observed,
                    struct rpd_schedule *draft, bool force, const char *what, struct error *err);

/* Checks that the service can deal connections as the draft says: least-connections needs the
 * counts of connections, skip-stuck the BTF of the kernel. Returns 0, or -EOPNOTSUPP with @err set.
 */
int schedule_commit_check_dealing(const struct service *service, const struct rpd_schedule *draft,
                                  struct error *err);
