/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that have a listener open, found by a scan of /proc. Which of several holders is
 * the worker is the roster's decision (core/roster.h).
 *
 * A process that ends during the scan, or that we may not read, counts as absent.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"

/*
 * One scan of /proc for every process but ours that has one of @listeners open: a row for each
 * (process, socket), in the order of (inode, pid).
 *
 * Evidence EPOLL: an epoll descriptor of the process, holder.epfd, watches the socket, by its
 * descriptor holder.fd. A child that merely inherited its parent's epoll descriptor does not
 * count, unless it waits on it; then the parent does not, unless it does too.
 * Evidence ACCEPTS: a thread is blocked in accept() on it at this moment.
 *
 * To be called now and then, not in a loop: reading what an epoll descriptor watches takes about
 * 2 us a watched descriptor, during which its owner can't epoll_wait() or epoll_ctl() on it.
 *
 * The caller frees *ret, which is NULL if there are no rows.
 */
int proc_holders_find(const struct listener *listeners, size_t n, struct holder **ret,
                      size_t *ret_n, struct error *err);

/* The same for the processes @pids only, of a worker's cgroup say. Each number once. A child's
 * epoll descriptor can be told from its parent's only if the parent is among them. */
int proc_holders_find_among(const uint32_t *pids, size_t n_pids, const struct listener *listeners,
                            size_t n, struct holder **ret, size_t *ret_n, struct error *err);
