/* SPDX-License-Identifier: BSD-2-Clause */
/* Follows a process by ptrace from one system call to the next, up to the call at which to kill it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "breakpoint.h"
#include "call.h"

struct options {
	uint64_t at;          /* number of the stop; 0: none given */
	const char *at_point; /* name of the stop; NULL: none given */
	bool count;
	bool list;
	bool skip_start;
	bool leave_children;
	pid_t pid; /* 0: run @command */
	char **command;
};

/* A traced thread. */
struct tracee {
	pid_t tid;
	unsigned int call; /* kind of the call in progress if its entry was counted, or none */
};

struct trace {
	const struct options *options;
	struct tracee *tracees;
	size_t n;
	size_t n_stopping; /* with --pid: threads that are not counted yet */
	pid_t root;
	int root_status;
	bool executed; /* the command's first execve() is done; or --pid was given */
	bool counting;
	uint64_t stops;
	unsigned int calls[CALL_KIND_MAX]; /* how often each kind has been entered */
	struct breakpoint breakpoint; /* at the program's first instruction, while not counting */
};

/* Starts the command, or begins to follow the process. Ends the program on failure. */
void trace_begin(struct trace *trace);

/* Returns true when all followed processes have ended, false when they were killed. */
bool trace_follow(struct trace *trace);

void trace_end(struct trace *trace);
