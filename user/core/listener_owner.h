/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who serves a slot's listener now, and whether anybody does. A listener that stays open although
 * the process that polled it has died is a black hole: the kernel goes on queueing connections to
 * it, and nobody accepts them. Pure.
 */
#pragma once

#include <stddef.h>

#include "core/listener.h"

/*
 * The process that serves the listener, of all @n that have it open, or NULL if nobody does (it
 * has stalled). @was: who served it when it was last looked at.
 *
 * A process that is known to poll or accept is the answer. Else the one that served it goes on to,
 * if it still has it open: it may wait in a way that can't be seen (poll, select, io_uring), or be
 * at its limit of connections for a moment. Is it gone, then one that polled leaves a black hole;
 * of one that may have waited unseen a younger process is the successor. An older one, a pre-fork
 * parent or a sibling, had the listener all along and left it to the one that died.
 */
const struct holder *listener_owner_now(const struct rpd_worker *was, const struct holder *holders,
                                        size_t n);

/* Notes in a slot's row that process @owner serves the slot's listener. */
void listener_owner_note(struct rpd_worker *row, const struct holder *owner);
