/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scan of /proc behind proc_holders.h. A process can keep it waiting for ever, while it
 * executes a program or waits for events (exec_update_lock of the kernel, and the lock of the epoll
 * descriptor): so it is for a child only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/listener.h"

#define PROC_SCAN_SKIPPED_MAX 8

struct proc_scan_request {
	const struct listener *listeners;
	size_t n_listeners;
	const uint32_t *pids; /* only these processes; or NULL */
	size_t n_pids;
	uint32_t self; /* without @pids: is left out */
	int iterator;  /* without @pids: shows the processes (holder_iterator.h); -1 = scan all */
	bool bounded;  /* the processes may have any number of descriptors and watches */
	uint32_t skipped[PROC_SCAN_SKIPPED_MAX]; /* are left out */
	size_t n_skipped;
};

/* Writes the process that it examines into *ret_pid while it runs. The caller frees *ret, sorted by
 * (inode, pid). Returns 0 or a negative errno. */
int proc_scan(const struct proc_scan_request *request, uint32_t *ret_pid, struct holder **ret,
              size_t *ret_n);
