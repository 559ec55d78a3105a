/* SPDX-License-Identifier: BSD-2-Clause */
/* What an epoll descriptor of another process watches. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Whether the process's epoll descriptor @epfd watches the open file of its descriptor @fd, under
 * that number. @inode: of that file. Takes some 30 ns for each descriptor that @epfd watches. */
bool proc_epoll_watches(uint32_t pid, int epfd, int fd, uint32_t inode);

/* Opens the list of what an epoll descriptor of the process watches; @process is its open
 * /proc/PID. NULL on failure. The kernel writes all of the list at once, which takes a second for a
 * million watched descriptors. */
FILE *proc_epoll_open(int process, int epfd);

/* Reads the next watched descriptor, and the inode of the file that it was when it was added. It
 * may be another file by now, and the inode may be of any file system. Returns false at the end. */
bool proc_epoll_read(FILE *watches, int *ret_fd, uint64_t *ret_inode);
