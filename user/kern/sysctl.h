/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading of sysctls. */
#pragma once

/* Reads the number in /proc/sys/@name ("net/ipv4/tcp_syncookies", for example). What is below net/
 * belongs to our network namespace. -ENOENT if this kernel has no such sysctl. */
int sysctl_read_int(const char *name, int *ret);
