/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the program of rejoin.bpf.c shares with kern/rejoin.c. */
#pragma once

#include <linux/types.h>

/* A listener that has SO_REUSEPORT on again (rejoin.bpf.c). */
struct rpd_rejoined {
	__u64 cookie;
	__u32 inode;
	__u32 endpoint;
};
