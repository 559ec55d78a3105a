/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BPF program on a service's cgroup that keeps workers from replacing or detaching the steering
 * program, and from leaving the group of their port (bpf/guard.bpf.c). Like those of hook.h it
 * outlives the supervisor.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guard;

/* A socket option that a process has tried to set. */
struct guard_attempt {
	const char *option; /* its name */
	const char *what;   /* the process has tried to ... */
	const char *result; /* this ...: it had no effect, or was refused */
	uint64_t cgroup;    /* id of the cgroup of the process */
	uint16_t port;      /* of the socket, host order; 0 = not bound yet */
};

/* Attaches the program to cgroup @fd; it acts on TCP sockets that are made in the cgroup or below.
 * It replaces that of an earlier supervisor without a gap. @ports, at most RPD_ENDPOINT_MAX: acts
 * on sockets of these ports, and on those that aren't bound yet. None: on all. @key:
 * rpd_service.guard_key. Returns 0, or a negative errno with @err set. */
int guard_attach(int fd, const uint16_t *ports, size_t n, uint64_t key, struct guard **ret,
                 struct error *err);

/* A descriptor that is readable when there are attempts to read. */
int guard_fd(const struct guard *guard);

/* Calls @on_attempt for each attempt that was reported: at most one a minute for each cgroup. */
void guard_read_attempts(struct guard *guard,
                         void (*on_attempt)(const struct guard_attempt *attempt, void *data),
                         void *data);

/* Closes our descriptors; the program stays attached. NULL is fine. */
void guard_free(struct guard *guard);

/* Detaches the program from cgroup @fd. */
void guard_detach(int fd);
