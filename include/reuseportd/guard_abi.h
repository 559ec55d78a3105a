/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the program of guard.bpf.c shares with kern/guard.c. */
#pragma once

#include <linux/types.h>

/* From asm-generic/socket.h: the same on all architectures that we support. */
#define GUARD_ATTACH_CBPF 51
#define GUARD_ATTACH_EBPF 52
#define GUARD_DETACH      68
#define GUARD_LEAVE       15 /* SO_REUSEPORT, to turn it off */
#define GUARD_DEVICE      25 /* SO_BINDTODEVICE */
#define GUARD_IFINDEX     62 /* SO_BINDTOIFINDEX */

/* How long further attempts from the same cgroup are not reported. */
#define GUARD_QUIET_NS 60000000000ull

/* What reuseportd itself gives as the value of these options. The kernel takes only the first
 * member; the program of guard.bpf.c, which lets the call pass, shortens the value to that. */
struct guard_value {
	__u32 program; /* a descriptor; unused by GUARD_DETACH */
	__u32 key[2];  /* rpd_service.guard_key, low half first */
};

struct guard_event {
	__u64 cgroup; /* of the process that called setsockopt() */
	__u32 option; /* GUARD_... */
	__u32 port;   /* of the socket, host order; 0 = none yet */
};
