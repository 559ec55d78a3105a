/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the programs of hook.bpf.c share with kern/hook.c. A later supervisor takes over a map if
 * its key and value have the same sizes, so a change here must change a size.
 */
#pragma once

#include <linux/types.h>
#include <reuseportd/abi.h>

#define HOOK_PORTS_MAX RPD_ENDPOINT_MAX

struct hook_bound {
	__u64 cgroup; /* of the process that called bind() */
	__u32 fixed;  /* to a port that the process named */
	__u32 pad;
};

struct hook_event {
	__u64 cgroup;
	__u64 cookie;
	__u16 port; /* host order */
	__u16 fixed;
	__u32 refused; /* an MPTCP socket, refused at bind(): it doesn't listen */
};
