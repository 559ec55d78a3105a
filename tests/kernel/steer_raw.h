/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP packets as no kernel's client would send them, to a bed's listeners and back. */
#pragma once

#include "steer_client.h"

enum {
	RAW_FIN = 0x01,
	RAW_SYN = 0x02,
	RAW_RST = 0x04,
	RAW_PSH = 0x08,
	RAW_ACK = 0x10,
};

struct raw_packet {
	union address from, to;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t n_data; /* bytes of data, at most 64, all zero */
};

/* A socket to put packets of @family on the loopback device by, or a negative errno. */
int raw_open(int family);

/* 0 or a negative errno. May be called from any thread, as no check is in it. */
int raw_put(int fd, const struct raw_packet *packet);

/* Sends one packet; it must succeed. */
void raw_send(const struct raw_packet *packet);

/* A socket that gets a copy of each IPv4 TCP packet from now on. */
int raw_listen(void);

/* Waits for a packet to @to (port only) that has all of @flags. */
void raw_await(int fd, const union address *to, uint8_t flags, struct raw_packet *ret);
