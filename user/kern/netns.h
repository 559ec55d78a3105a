/* SPDX-License-Identifier: BSD-2-Clause */
/* Network namespaces: that of the calling thread, and of other processes. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Reads the cookie and the inode number of the calling thread's namespace. A cookie is never
 * reused. The inode number serves to find the processes of the namespace in /proc. It is reused
 * after the namespace is gone. */
int netns_identify(uint64_t *ret_cookie, uint64_t *ret_ino, struct error *err);

/* Reads the inode number of the namespace of process @pid (0 = ours). -ESRCH if there is no such
 * process. */
int netns_find_inode(uint32_t pid, uint64_t *ret_ino);

/* Opens the calling thread's namespace, for netns_return(). The caller closes *ret_fd. */
int netns_open_current(int *ret_fd, struct error *err);

/* Moves the calling thread back to namespace @fd, unless it is there already. */
int netns_return(int fd, struct error *err);
