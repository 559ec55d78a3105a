/* SPDX-License-Identifier: BSD-2-Clause */
/* The namespaces that a check program runs in. */
#pragma once

#define NAMESPACES_LOOPBACK 1 /* ifindex of the loopback device in every network namespace */

/* Enters a new network namespace with the loopback device up, and a new mount namespace with an
 * empty bpffs on /sys/fs/bpf. Raises the limit of open files to its maximum. Needs root. Returns 0
 * or a negative errno. */
int namespaces_enter(void);
