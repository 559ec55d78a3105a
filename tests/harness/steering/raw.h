/* SPDX-License-Identifier: BSD-2-Clause */
/* Single TCP packets, which need not be part of a connection. */
#pragma once

#include "steering/socket_address.h"

enum {
	RAW_FIN = 0x01,
	RAW_SYN = 0x02,
	RAW_RST = 0x04,
	RAW_PSH = 0x08,
	RAW_ACK = 0x10,
};

struct raw_packet {
	union socket_address from, to;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t n_data; /* bytes of data, at most 64, all zero */
};

/* Opens a socket that sends packets of @family over the loopback device. Returns it or a negative
 * errno. */
int raw_open(int family);

/* Sends a packet. Returns 0 or a negative errno; checks nothing, so that any thread may call it. */
int raw_put(int fd, const struct raw_packet *packet);

/* Sends a packet; fails the case otherwise. */
void raw_send(const struct raw_packet *packet);

/* Opens a socket that gets a copy of each IPv4 TCP packet from now on. */
int raw_listen(void);

/* Waits for a packet to the port of @to that has all of @flags. */
void raw_await(int fd, const union socket_address *to, uint8_t flags, struct raw_packet *ret);
