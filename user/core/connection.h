/* SPDX-License-Identifier: BSD-2-Clause */
/* An open connection of a worker, as sock_diag reports it. Plain data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/abi.h>

struct connection {
	uint64_t cookie; /* SO_COOKIE */
	uint8_t family;  /* AF_INET or AF_INET6 */
	uint8_t state;   /* TCP_ESTABLISHED and so on (netinet/tcp.h) */
	uint16_t local_port, peer_port;
	uint8_t local[16], peer[16]; /* network order; IPv4 in the first four bytes */
	uint32_t ifindex;
	uint32_t inode; /* 0: no process has it open (not accepted yet, or an orphan) */
	bool counted;
	uint16_t account; /* of its count */
	uint64_t since;   /* bpf_ktime_get_ns() when it was established; 0 = not known */
	uint64_t bytes_in, bytes_out; /* from the client, and to it as far as acknowledged */
	uint32_t idle_ms;             /* since data was last received or sent */
};
