/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The few fields of kernel types that the programs read. CO-RE finds them by name in the running
 * kernel's BTF, so their offsets here mean nothing.
 */
#pragma once

#define KERNEL_TYPE __attribute__((preserve_access_index))

struct sock_common {
	unsigned char skc_state;
} KERNEL_TYPE;

struct sock {
	struct sock_common __sk_common;
	int sk_err;
} KERNEL_TYPE;

typedef struct {
	int counter;
} atomic_t;

struct request_sock_queue {
	atomic_t qlen; /* handshakes under way */
} KERNEL_TYPE;

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
} KERNEL_TYPE;

struct bpf_iter_meta {
	struct seq_file *seq;
} KERNEL_TYPE;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} KERNEL_TYPE;
