/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes, by /proc and pidfds: identifying one, checking that a worker still serves its
 * listener, duplicating its descriptors, entering its network namespace. proc_holders.h finds the
 * processes that have a listener open.
 *
 * A process that ends during a call, or that we may not read, counts as absent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"

/* Reads the start time, parent and name of process @pid. -ESRCH if there is no such process, or
 * only its zombie. */
int proc_identify(uint32_t pid, struct process *ret);

/* Finds the process of @pids that was started first: in a worker's cgroup the main process, as all
 * others descend from it. -ESRCH if none of them exists any more. */
int proc_find_oldest(const uint32_t *pids, size_t n, struct process *ret);

/* A worker, and a question about it. */
struct proc_serving {
	const struct rpd_worker *worker;
	uint32_t inode;
	bool yes;
};

/*
 * Sets @yes of each of the @n: whether the process recorded in @worker is alive, has the socket
 * @inode open as its fd and, if its epfd is not -1, watches it by that epoll descriptor. Scans
 * nothing, and is cheap enough for a timer, however many descriptors the processes watch. A process
 * that keeps us waiting does not serve.
 */
void proc_still_serve(struct proc_serving *list, size_t n);

/* Calls @on_socket for each descriptor of the process that is a socket. A process that has ended
 * has none. */
int proc_list_sockets(uint32_t pid, void (*on_socket)(int fd, uint32_t inode, void *data),
                      void *data);
/* The same for the first @max descriptors only. */
int proc_list_first_sockets(uint32_t pid, size_t max,
                            void (*on_socket)(int fd, uint32_t inode, void *data), void *data);

/* Finds a process in the network namespace with this inode. -ENOENT if there is none. */
int proc_find_netns(uint64_t netns_ino, uint32_t *ret_pid);

/* Opens a pidfd of the process. Returns it; -ESRCH if the process is gone. */
int proc_open_pidfd(struct process_id id);

/*
 * Whether process @pid has been killed, or has exited, and executes nothing any more while the
 * kernel closes its descriptors. That can take a while, if an inotify descriptor is among them and
 * the host is busy, for example.
 */
bool proc_is_ending(uint32_t pid);

/* Whether process @pid waits for the kernel, and no signal interrupts it. */
bool proc_is_blocked(uint32_t pid);

/* A descriptor of a process. */
struct proc_descriptor {
	int fd;
	uint32_t inode; /* of the socket that it must be; 0 = any socket */
};

#define PROC_DUPLICATE_MAX RPD_ENDPOINT_MAX

/*
 * Duplicates @n descriptors of process @pid, 1 to PROC_DUPLICATE_MAX, close-on-exec, into @ret:
 * all, or none. Returns 0. -EBADF if one is another file by now, or closed; -ESRCH if the process
 * is gone; -EPERM if we have no right to trace it. A child does it: that costs more than a
 * descriptor.
 *
 * The caller closes the duplicates at once. A listener's queue migrates only when its last
 * descriptor is closed: if the owner dies while we hold a duplicate, the connections in the queue
 * hang.
 */
int proc_duplicate_fds(uint32_t pid, const struct proc_descriptor *wanted, size_t n, int *ret,
                       struct error *err);

/* The same for one descriptor, in a child of held_child.h: it may be left with a file that can't be
 * closed. Returns the duplicate, or a negative errno. */
int proc_take_fd(uint32_t pid, int fd, uint32_t inode_expected);

/* The same for one descriptor, not in such a child. Returns the duplicate. */
int proc_duplicate_fd(uint32_t pid, int fd, uint32_t inode_expected, struct error *err);

/* Closes the duplicate of a listener, at once: the owner may have made a connection of it
 * meanwhile, which would wait for SO_LINGER. -1 is fine. */
void proc_close_listener(int *fd);

#define _cleanup_listener_ _cleanup_(proc_close_listener)

/* Moves the calling thread only into the network namespace of process @pid. */
int proc_enter_netns(uint32_t pid, struct error *err);
