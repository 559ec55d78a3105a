/* SPDX-License-Identifier: BSD-2-Clause */
/* A breakpoint at a program's first instruction. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct breakpoint {
	uint64_t at; /* 0: none is set */
	long word;   /* what is there */
};

/* For a process that is stopped at the end of its execve(). Ends the program on failure. */
void breakpoint_set(struct breakpoint *breakpoint, pid_t pid);
/* Whether the thread, which has stopped by SIGTRAP, did so there. */
bool breakpoint_is_hit(const struct breakpoint *breakpoint, pid_t tid);
/* The thread that has hit it goes on as if it had never been. Ends the program on failure. */
void breakpoint_clear(struct breakpoint *breakpoint, pid_t tid);
