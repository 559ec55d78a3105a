/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The identity of a process. A pid alone is not enough, because the kernel reuses it when its
 * process has ended.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

struct process_id {
	uint32_t pid;        /* 0 = none */
	uint64_t start_time; /* clock ticks after boot (proc(5), stat, field 22) */
};

struct process {
	struct process_id id;
	uint32_t ppid;
	char comm[RPD_COMM_MAX];
};

static inline bool process_same(struct process_id a, struct process_id b)
{
	return a.pid == b.pid && a.start_time == b.start_time;
}

/* The process that serves the slot's listener, by the slot's row. */
static inline struct process_id process_of_row(const struct rpd_worker *row)
{
	return (struct process_id){row->pid, row->start_time};
}
