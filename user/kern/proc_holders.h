/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that have a listener open, found by a scan of /proc; of the processes that the
 * iterator shows, where there is one (holder_iterator.h). Which of several holders is the worker is
 * the roster's decision (core/roster.h).
 *
 * A process that ends during the scan, or that we may not read, counts as absent. A process can
 * keep a scan waiting for ever (proc_scan.h): then -EBUSY.
 *
 * An event loop must not wait for proc_holders_find(), which takes as long as it goes on.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"

/*
 * Finds every process except ours that has one of @listeners open. Makes a row for each pair of
 * process and socket, sorted by (inode, pid).
 *
 * Evidence EPOLL: the process's epoll descriptor holder.epfd watches the socket by the descriptor
 * holder.fd. If a child has inherited its parent's epoll descriptor, the one that waits on the
 * descriptor counts: both if both wait, and only the parent if neither does.
 * Evidence ACCEPTS: a thread is blocked in accept() on the socket at this moment.
 *
 * Call it now and then, not in a loop: reading an epoll descriptor takes about 2 us for each
 * watched descriptor, and its owner can't epoll_wait() or epoll_ctl() during that time.
 *
 * The caller frees *ret, which is NULL if there are no rows.
 */
int proc_holders_find(const struct listener *listeners, size_t n, struct holder **ret,
                      size_t *ret_n, struct error *err);

/* The same, but examines no more than proc_holders_find_among() does. */
int proc_holders_find_soon(const struct listener *listeners, size_t n, struct holder **ret,
                           size_t *ret_n, struct error *err);

/*
 * The same for the processes @pids only, such as those of a worker's cgroup; no pid may be listed
 * twice. A child's inherited epoll descriptor is recognised only if the parent is listed, too.
 *
 * Examines at most some ten thousand threads and descriptors, and 2,000 more for each listener, and
 * compares epoll watches for 20 ms, and 1 ms more for each. What comes after that is not found.
 */
int proc_holders_find_among(const uint32_t *pids, size_t n_pids, const struct listener *listeners,
                            size_t n, struct holder **ret, size_t *ret_n, struct error *err);
