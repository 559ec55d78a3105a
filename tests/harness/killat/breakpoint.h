/* SPDX-License-Identifier: BSD-2-Clause */
/* A breakpoint at a program's first instruction. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct breakpoint {
	uint64_t at; /* 0: none is set */
	long word;   /* the program's code at that address */
};

/* Sets a breakpoint in a process that is stopped at the end of its execve(). Ends killat on
 * failure. */
void breakpoint_set(struct breakpoint *breakpoint, pid_t pid);

/* Whether a thread that stopped with SIGTRAP stopped at the breakpoint. */
bool breakpoint_is_hit(const struct breakpoint *breakpoint, pid_t tid);

/*
 * Removes the breakpoint that thread @tid has hit, and moves the thread back to that instruction.
 * Ends killat on failure.
 */
void breakpoint_clear(struct breakpoint *breakpoint, pid_t tid);
