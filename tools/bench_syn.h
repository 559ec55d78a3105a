/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYNs for the benchmark: raw ones, over loopback, from random clients all over 127.0.0.0/8, which
 * the kernel handles before the system call that sends them returns.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define SYN_BATCH 64 /* SYNs that one system call sends */

struct syn_sender {
	int fd;
	uint32_t random;
};

/* Opens the raw socket; ends the program if it can't. Never closed. */
void bench_syn_init_sender(struct syn_sender *sender);

/* Never 0. The same row of numbers in each run of the program. */
uint32_t bench_syn_random(struct syn_sender *sender);

/* Sends SYN_BATCH SYNs to 127.0.0.1:@port (host order); returns the nanoseconds that it took. */
uint64_t bench_syn_send(struct syn_sender *sender, uint16_t port);

/* Nanoseconds of @clock. */
uint64_t bench_syn_clock_ns(clockid_t clock);
