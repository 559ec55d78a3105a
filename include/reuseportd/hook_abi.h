/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the programs of hook.bpf.c and kern/hook.c share. A later supervisor takes the maps over, so
 * that a change here must change a size.
 */
#pragma once

#include <linux/types.h>
#include <reuseportd/abi.h>

#define HOOK_PORTS_MAX RPD_ENDPOINT_MAX

struct hook_bound {
	__u64 cgroup; /* of the process that bound it */
	__u32 fixed;  /* to a port that it named */
	__u32 pad;
};

struct hook_event {
	__u64 cgroup;
	__u64 cookie;
	__u16 port; /* host order */
	__u16 fixed;
	__u32 refused; /* it was refused at bind(), as it is MPTCP's, and doesn't listen */
};
