/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How user space tells the steering program where the kernel's structures have their members. */
#pragma once

#include <linux/types.h>

/* Where the running kernel has a member of one of its structures. */
struct rpd_member_at {
	__u32 offset; /* in bytes; 0 = not known */
	__u32 type;   /* the structure's BTF id; 0 = bpf_rdonly_cast() can't be called */
};

/* The members of the kernel's structures that the steering program reads. */
struct rpd_members_at {
	struct rpd_member_at selected_sk;     /* of struct sk_reuseport_kern */
	struct rpd_member_at ack_backlog;     /* of struct sock */
	struct rpd_member_at max_ack_backlog; /* of struct sock */
	struct rpd_member_at young;           /* of struct inet_connection_sock */
	struct rpd_member_at accept_head;     /* of struct inet_connection_sock */
	struct rpd_member_at snt_isn;         /* of struct tcp_request_sock */
};

/* The helper that a program calls for bpf_rdonly_cast() (kern/kernel_cast.h). No kernel has it. */
#define RPD_CALL_CAST 0x7fffffff
