/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings of the network namespace. They fail the case if they cannot be made. */
#pragma once

#include <netinet/in.h>

/* Writes a net.* sysctl: "ipv4/tcp_syncookies", for example. */
void host_sysctl(const char *name, int value);

/* Gives the loopback device an IPv6 address. */
void host_add_address(const struct in6_addr *a);
