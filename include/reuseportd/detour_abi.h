/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the program of detour.bpf.c shares with kern/detour.c. */
#pragma once

#include <linux/types.h>

/* At most this many addresses. */
#define DETOUR_MAX 16

/* An address that clients connect to; all zeros: any address of the family. */
struct detour_address {
	__u32 port; /* host order */
	__u32 family;
	__u8 addr[16]; /* network order; IPv4 in the first four bytes */
};
