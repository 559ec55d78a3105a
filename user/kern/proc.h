/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What /proc and pidfds tell of the processes behind listeners: who has a socket open, who serves
 * it, whether it still does, and how to get at it. Which of several holders is the worker is the
 * roster's decision.
 *
 * A process that ends while we look, or that we may not look at, is as if it were not there.
 */
#pragma once

#include <stdbool.h>
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
int proc_holders(const struct listener *listeners, size_t n, struct holder **ret, size_t *ret_n,
                 struct error *err);

/* The same for the processes @pids only, of a worker's cgroup say. Each number once. A child's
 * epoll descriptor can be told from its parent's only if the parent is among them. */
int proc_holders_among(const uint32_t *pids, size_t n_pids, const struct listener *listeners,
                       size_t n, struct holder **ret, size_t *ret_n, struct error *err);

/* Who process @pid is. -ESRCH if there is no such process, or only its zombie. */
int proc_identity(uint32_t pid, struct process *ret);

/* Who of them was started first: of a worker's cgroup the main process, which was born there, as
 * the others are its children's children. -ESRCH if none is there any more. */
int proc_oldest(const uint32_t *pids, size_t n, struct process *ret);

/*
 * Whether the process recorded in @w is alive, has the socket @inode as w->fd, and, if w->epfd is
 * not -1, watches it there with that. No scan, and cheap enough for a timer, however many
 * descriptors the process watches.
 */
bool proc_still_serves(const struct rpd_worker *w, uint32_t inode);

/* Calls @on_socket for each socket that the process has open, once for each descriptor. One that
 * has ended has none. */
int proc_sockets(uint32_t pid, void (*on_socket)(uint32_t inode, void *data), void *data);

/* Some process in the network namespace with this inode. -ENOENT if there is none. */
int proc_find_netns(uint64_t netns_ino, uint32_t *ret_pid);

/* A pidfd of the process. -ESRCH if it is gone. */
int proc_open_pid(struct process_id id);

/*
 * Whether process @pid has been killed, or has exited, and what is left of it is that the kernel
 * closes what it had open: it executes nothing any more. That takes some time if, say, an inotify
 * descriptor is among them and the machine is busy.
 */
bool proc_is_ending(uint32_t pid);

/*
 * Duplicates descriptor @fd of process @pid into ours, close-on-exec. Returns the duplicate.
 * @inode_expected: fail with -EBADF if it is not this socket; 0 = take what is there. -ESRCH if
 * the process is gone, -EPERM if we lack the right to trace it.
 *
 * The caller closes it at once. A listener's queue moves on to another listener at the final
 * close only: if its owner dies while we hold a duplicate, the connections on it hang.
 */
int proc_borrow_fd(uint32_t pid, int fd, uint32_t inode_expected, struct error *err);

/* Moves the calling thread, and no other, into the network namespace of process @pid. */
int proc_enter_netns(uint32_t pid, struct error *err);
