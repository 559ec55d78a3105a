/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF programs that are attached to a cgroup itself, not by a link of ours: they outlive the
 * process that attached them, and end with the cgroup. Ours are recognised by type and name.
 */
#pragma once

#include <stddef.h>
#include <linux/bpf.h>

#include "base/cleanup.h"

/* How many programs of one type a cgroup can have: BPF_CGROUP_MAX_PROGS of the kernel. */
#define CGROUP_PROGRAM_MAX 64

struct cgroup_program {
	enum bpf_attach_type type;
	const char *name;
};

/* All programs of one type and name on a cgroup. Zero = none. */
struct cgroup_program_attached {
	int fds[CGROUP_PROGRAM_MAX];
	size_t n;
};

#define _cleanup_cgroup_program_ _cleanup_(cgroup_program_close)

/* Finds the programs like @program on cgroup @cgroup. Returns 0 or a negative errno; the caller
 * closes @ret in either case. */
int cgroup_program_find(int cgroup, const struct cgroup_program *program,
                        struct cgroup_program_attached *ret);

void cgroup_program_close(struct cgroup_program_attached *attached);

/* Attaches program @fd in place of @old, without a gap. Returns 0 or a negative errno. */
int cgroup_program_attach(int cgroup, const struct cgroup_program *program, int fd,
                          const struct cgroup_program_attached *old);

/* Detaches all programs like @program. */
void cgroup_program_detach(int cgroup, const struct cgroup_program *program);
