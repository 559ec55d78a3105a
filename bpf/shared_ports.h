/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The ports that the workers of a service of `run` share. User space sets them before it loads a
 * program. */
#pragma once

#include <linux/types.h>
#include <reuseportd/hook_abi.h>

/* In host order; none = all. */
const volatile __u32 n_ports;
const volatile __u16 ports[HOOK_PORTS_MAX];

static __always_inline int shared_ports_has(__u16 port)
{
	if (!n_ports)
		return 1;
	for (__u32 i = 0; i < HOOK_PORTS_MAX && i < n_ports; i++)
		if (ports[i] == port)
			return 1;
	return 0;
}
