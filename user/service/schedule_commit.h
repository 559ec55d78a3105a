/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change of the schedule: take a draft, edit it (core/schedule_edit.h), put it in force. In force
 * means in the kernel, and with no run of the program left that sees the old one.
 */
#pragma once

#include "base/error.h"
#include "service/observe.h"
#include "service/service.h"

/* A draft like the schedule in force, but with what was observed of the slots: dead ones are
 * marked, and stalled ones that are served again are not. */
void schedule_commit_begin(const struct service *service, const struct observed *observed,
                           struct rpd_schedule *ret_draft);

/*
 * Builds the draft's ring and puts it in force. Refuses to leave no live worker in it, unless
 * @force; @what says what is being done, for the message. On failure nothing has changed.
 */
int schedule_commit(struct service *service, const struct observed *observed,
                    struct rpd_schedule *draft, bool force, const char *what, struct error *err);
