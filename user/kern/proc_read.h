/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading of /proc, for the files proc*.c and cgroup_file.c only.
 *
 * /proc/PID is opened once for each process, and everything is read relative to it. An open
 * directory never refers to a later process with the same pid: its files then fail with ESRCH or
 * ENOENT.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/process.h"

#define PROC_PATH_MAX 64 /* "/proc/PID", or a path below it, with the final NUL */
#define PROC_LINK_MAX 64 /* "anon_inode:[eventpoll]", "socket:[4294967295]" */

/* Opens /proc/PID. Returns the descriptor, or -ESRCH. */
int proc_read_open(uint32_t pid);

/* Opens directory @path below @at. NULL, with errno, on failure. */
DIR *proc_read_directory(int at, const char *path);

/* Reads the next entry of @dir that is a number. -1 at the end. */
int proc_read_number(DIR *dir);

/* Reads the beginning of a file, with a final NUL. Returns 0 or a negative errno. */
int proc_read_text(int at, const char *path, char *buf, size_t size);

/* Reads a symbolic link, cut to fit. Returns false if it can't be read. */
bool proc_read_link(int at, const char *path, char text[PROC_LINK_MAX]);

/* The inode in "KIND:[inode]", or 0 if @text has another form. */
uint64_t proc_read_inode(const char *text, const char *kind);

/* The inode of the socket that is descriptor @fd of the process; 0 if it is not a socket. */
uint32_t proc_read_socket(int process, int fd);

/* Reads the identity of process @pid; @process is its open /proc/PID. -ESRCH if it has ended; a
 * zombie has, too. */
int proc_read_identity(int process, uint32_t pid, struct process *ret);
/* The same without an open directory: of the process that has the pid at this moment. */
int proc_read_identity_now(uint32_t pid, struct process *ret);

/* Reads @text, which is a process's or a thread's `stat`. The name becomes printable ASCII. -ESRCH
 * for a zombie; -EBADMSG. */
int proc_read_parse_stat(const char *text, uint32_t pid, struct process *ret);

/* The state of the process, from proc(5): R = it runs, or waits for a processor; D = it waits for
 * the kernel, and no signal interrupts it. NUL: it can't be read. */
char proc_read_state(pid_t pid);
