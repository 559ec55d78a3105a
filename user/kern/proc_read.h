/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading of /proc, for proc.c and proc_holders.c only.
 *
 * /proc/PID is opened once for each process and everything is read relative to that: a directory
 * that was opened never comes to mean a later process with the same number (its files fail with
 * ESRCH or ENOENT instead).
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/process.h"

#define PROC_PATH_MAX 64 /* "/proc/PID", or a path below it, with the final NUL */
#define PROC_LINK_MAX 64 /* "anon_inode:[eventpoll]", "socket:[4294967295]" */

/* A descriptor for /proc/PID, or -ESRCH. The caller closes it. */
int proc_read_open(uint32_t pid);

/* The directory @path below @at, or NULL. The caller closes it. */
DIR *proc_read_directory(int at, const char *path);

/* The next entry of @dir whose name is a number, or -1 at the end. */
int proc_read_number(DIR *dir);

/* Reads a file of one line, or the start of it. */
int proc_read_text(int at, const char *path, char *buf, size_t size);

/* Reads a symbolic link, cut to fit. False if it can't be read. */
bool proc_read_link(int at, const char *path, char text[PROC_LINK_MAX]);

/* The inode in "KIND:[inode]", or 0 if @text is not of this form. */
uint64_t proc_read_inode(const char *text, const char *kind);

/* The inode of the socket that is descriptor @fd of a process, or 0. */
uint32_t proc_read_socket(int process, int fd);

/* Who process @pid is. -ESRCH if it has ended, also if it is a zombie. */
int proc_read_identity(int process, uint32_t pid, struct process *ret);
/* The same without its folder being open: of whoever has the pid at that moment. */
int proc_read_identity_now(uint32_t pid, struct process *ret);

/* What an epoll descriptor of a process watches, or NULL. The caller closes it. */
FILE *proc_read_watches(int process, int epfd);

/* The next descriptor that is watched, and the inode of the file that it was when it was added. It
 * may be another file by now, and the inode of any file system. False at the end. */
bool proc_read_watch(FILE *watches, int *ret_fd, uint64_t *ret_inode);
