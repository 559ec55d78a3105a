/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Clients that are ignored when a new version is judged, for example the checks of a load balancer.
 * Compiled for the kernel and for the host. */
#pragma once

#include <linux/types.h>

#define RPD_IGNORED_MAX 16

/* A network. Network order; IPv4 addresses are mapped: ::ffff:192.0.2.1. */
struct rpd_net {
	__u32 addr[4]; /* no bit beyond the mask */
	__u32 mask[4];
};

/* Map "ignored", one entry; rpd_control.n_ignored is its n. */
struct rpd_ignored {
	__u32 n;
	__u32 pad;
	struct rpd_net nets[RPD_IGNORED_MAX];
};

/* Whether an address, in the form of rpd_net.addr, is in one of the networks. */
static inline int rpd_ignored_has(const struct rpd_ignored *ignored, const __u32 addr[4])
{
	for (__u32 i = 0; i < RPD_IGNORED_MAX && i < ignored->n; i++) {
		const struct rpd_net *net = &ignored->nets[i];
		__u32 differs = 0;

		for (int j = 0; j < 4; j++)
			differs |= (addr[j] & net->mask[j]) ^ net->addr[j];
		if (!differs)
			return 1;
	}
	return 0;
}

_Static_assert(sizeof(struct rpd_ignored) == 8 + 32 * RPD_IGNORED_MAX, "ABI");
