/* SPDX-License-Identifier: BSD-2-Clause */
/* Follows a process by ptrace from system call to system call, up to the one to kill it at. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "breakpoint.h"
#include "call.h"

struct options {
	uint64_t at;          /* 0: not by number */
	const char *at_point; /* NULL: not by name */
	bool count;
	bool list;
	bool skip_start;
	bool leave_children;
	pid_t pid; /* 0: it runs @command */
	char **command;
};

/* A thread that is traced. */
struct tracee {
	pid_t tid;
	unsigned int call; /* the kind that it is in, and whose entry was counted; or none */
};

struct trace {
	const struct options *options;
	struct tracee *tracees;
	size_t n;
	size_t n_stopping; /* of a process that ran already: those that don't count yet */
	pid_t root;
	int root_status;
	bool executed; /* the command's first execve() is done, or it ran already */
	bool counting;
	uint64_t stops;
	unsigned int calls[CALL_KIND_MAX]; /* how often each kind has been entered */
	struct breakpoint breakpoint; /* at the program's first instruction, while not counting */
};

/* Starts the command, or begins to follow the process. Ends the program on failure. */
void trace_begin(struct trace *trace);
/* Follows it until all that is followed has ended (true) or was killed (false). */
bool trace_follow(struct trace *trace);
void trace_end(struct trace *trace);
