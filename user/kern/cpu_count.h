/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Returns how many CPUs this process may use: the least of those that it may run on, and the CPU
 * quotas of its cgroup and of all above it that can be seen, rounded up. At least 1. */
unsigned int cpu_count(void);
