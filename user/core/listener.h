/* SPDX-License-Identifier: BSD-2-Clause */
/* A listening TCP socket, as sock_diag reports it, and a process that has it open. Plain data. */
#pragma once

#include <stdint.h>
#include <reuseportd/abi.h>

#include "core/process.h"

struct listener {
	struct rpd_endpoint endpoint; /* its reuseport group, if SO_REUSEPORT is set */
	uint64_t cookie;              /* SO_COOKIE: unique for the life of the machine */
	uint64_t cgroup;              /* id of the cgroup that it was created in; 0 = not known */
	uint32_t inode;               /* socket:[inode] in /proc/PID/fd */
	uint32_t queue;               /* connections in the accept queue */
	uint32_t backlog;             /* limit of that queue */
};

/* The evidence that a process serves a listener; a higher value is better evidence. */
enum evidence {
	EVIDENCE_HOLDS,   /* it has the listener open; no more is known */
	EVIDENCE_ACCEPTS, /* one of its threads is blocked in accept() on it */
	EVIDENCE_EPOLL,   /* one of its epoll descriptors watches it */
	EVIDENCE_MAX,
};

/* One process that has one listener open. */
struct holder {
	struct process_id id;
	uint32_t ppid;
	uint32_t inode; /* of the listener */
	int32_t fd;     /* its descriptor of the listener: the one that it polls or accepts by, or
	                   else the lowest */
	int32_t epfd;   /* the epoll descriptor that watches it, or -1 */
	enum evidence evidence;
	char comm[RPD_COMM_MAX];
};
