/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which process serves a slot's listener now, if any. A listener that stays open after the process
 * that polled it has died is a black hole: the kernel goes on queueing connections, and no process
 * accepts them. Pure.
 */
#pragma once

#include <stddef.h>

#include "core/listener.h"

/*
 * Finds the process that serves the listener among all @n processes that have it open. NULL if no
 * process does: the listener has stalled. @was: the process that served it at the last check.
 *
 * A process that is known to poll or accept is the answer. Without one, the answer is @was if it
 * still has the listener open: @was may wait in a way that can't be observed (poll, select,
 * io_uring), or be at its limit of connections for the moment. If @was is gone and polled by epoll,
 * no process serves the listener. If @was is gone and may have waited unobserved, its successor is
 * a younger process. An older process, a pre-fork parent or a sibling, had the listener open all
 * the time and left the connections to the process that died.
 */
const struct holder *listener_owner_find_current(const struct rpd_worker *was,
                                                 const struct holder *holders, size_t n);

/* Notes in a slot's row that process @owner serves the slot's listener. */
void listener_owner_note(struct rpd_worker *row, const struct holder *owner);
