/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw SYNs for the benchmark, over loopback, from random client addresses all over 127.0.0.0/8. The
 * kernel handles them before the system call that sends them returns.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define SYN_BATCH 64 /* SYNs that one system call sends */

struct syn_sender {
	int fd;
	uint32_t random;
};

/* Opens the raw socket, which is never closed. Ends the program on failure. */
void bench_syn_init_sender(struct syn_sender *sender);

/* A pseudo-random number, never 0; each run of the program gets the same sequence. */
uint32_t bench_syn_random(struct syn_sender *sender);

/* Sends SYN_BATCH SYNs to 127.0.0.1:@port (host order). Returns the time that it took, in ns. */
uint64_t bench_syn_send(struct syn_sender *sender, uint16_t port);

/* The time of @clock, in ns. */
uint64_t bench_syn_clock_ns(clockid_t clock);
