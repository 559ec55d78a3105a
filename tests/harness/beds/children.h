/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes of a case. They are killed when it ends. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "check/check.h"

/* Shared with all children, and zero when a case begins. What a field means is up to the case. */
extern struct children_shared {
	_Atomic pid_t pids[2];
	_Atomic int fd;
	_Atomic int error;
	_Atomic bool stop;
	char text[ERROR_TEXT_MAX];
} * shared;

/* Memory that is shared with all children that are forked from now on; it is never unmapped. */
void *children_map(size_t size);

/* Forks a child that calls @run, and exits when that returns. It is killed when this process ends.
 * The caller waits for it. */
pid_t children_fork(void (*run)(int arg), int arg);

/* As children_fork(), but the child is killed, and waited for, when the case ends. Returns its pid.
 */
uint32_t children_start(void (*run)(int arg), int arg);

/* For a child that only has to exist: waits to be killed. */
__attribute__((noreturn)) void children_hold(int unused);

/* Waits for the end of the @i-th child of children_start(). */
void children_wait(size_t i);

/* Kills a child of children_fork() or children_start(), and waits for its end. */
void children_kill(pid_t pid);

/* Kills all children of children_start(), and clears what is shared. */
void children_end(void);

/* Waits, with a deadline, for the end of a child. Returns whether it has exited with status 0. */
bool children_exit_well(pid_t pid);
