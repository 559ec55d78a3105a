/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the programs of hook.bpf.c share with kern/hook.c. A later supervisor takes over a map if
 * its key and value have the same sizes, so a change here must change a size.
 */
#pragma once

#include <linux/types.h>
#include <reuseportd/abi.h>

#define HOOK_PORTS_MAX RPD_ENDPOINT_MAX

/* The local address of a listener. An IPv4-mapped IPv6 address is stored as IPv4. */
struct hook_address {
	__u16 port;  /* host order */
	__u8 family; /* AF_INET or AF_INET6; 0 = any address of the port */
	__u8 pad;
	__u32 ifindex; /* SO_BINDTODEVICE, 0 = none */
	__u8 addr[16]; /* network order; IPv4 in the first four bytes */
};

/* As ifindex of a served address: an endpoint of this address is bound to some device. */
#define HOOK_SOME_DEVICE 0xffffffffu

/* Flags of a served address. */
#define HOOK_SERVED 0x1
#define HOOK_DUAL   0x2 /* [::] that takes IPv4 connections, too */
#define HOOK_PLAIN  0x4 /* by sockets of the address's own family: it isn't IPv4-mapped */

/* At most this many served addresses, private addresses, and locks. */
#define HOOK_ADDRESSES_MAX 1024

/* A port that is bound for this long, and not listened on, is a lock. */
#define HOOK_LOCK_NS 200000000ull

struct hook_lock {
	__u64 cookie; /* of the socket that has it; 0 = none */
	__u64 at;     /* when that was bound: CLOCK_MONOTONIC, ns */
	__u64 known;  /* another socket did not get it */
};

struct hook_bound {
	__u64 cgroup; /* of the process that called bind() */
	__u16 fixed;  /* to a port that the process named */
	__u16 held;   /* to an address without traffic, instead of this one: */
	struct hook_address asked;
	__u32 pad;
};

struct hook_event {
	__u64 cgroup;
	__u64 cookie;
	__u16 port; /* host order */
	__u8 fixed;
	__u8 refused; /* an MPTCP socket, refused at bind(): it doesn't listen */
	__u32 held;   /* it listens, but not on the address that it asked for: */
	struct hook_address asked;
};
