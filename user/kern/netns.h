/* SPDX-License-Identifier: BSD-2-Clause */
/* The network namespace of the calling thread. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Its cookie, which no other namespace ever has again, and its inode number, by which a process
 * that is in it can be found in /proc (and which is used again once it is gone). */
int netns_identify(uint64_t *ret_cookie, uint64_t *ret_ino, struct error *err);

/* The inode number of the network namespace of process @pid, 0 = ours. -ESRCH: no such process. */
int netns_find_inode(uint32_t pid, uint64_t *ret_ino);

/* A descriptor for it, by which netns_return() comes back from others. */
int netns_open_current(int *ret_fd, struct error *err);

/* Goes to that network namespace, if we are not in it already. */
int netns_return(int fd, struct error *err);
