/* SPDX-License-Identifier: BSD-2-Clause */
/* The packets that are under way from one end of the link to the other. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "device.h"
#include "options.h"

struct packet {
	STAILQ_ENTRY(packet) next;
	uint64_t due_ns;
	size_t len;
	uint8_t data[DEVICE_MTU];
};

STAILQ_HEAD(packet_list, packet);

struct direction {
	const struct end *from, *to;
	uint64_t delay_ns;
	struct packet *pool;
	struct packet_list waiting; /* by due_ns, as the delay is constant */
	struct packet_list
	        unused; /* filled and emptied at its head, so that its memory stays cached */
	uint64_t delivered;
	uint64_t dropped; /* found the queue full */
	uint64_t refused; /* by the kernel at the other end */
};

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t direction_now_ns(void);

/* Ends the program if there is no memory. */
void direction_init(struct direction *direction, const struct end *from, const struct end *to,
                    const struct options *options);
void direction_deinit(struct direction *direction);

/* Reads the packets that have arrived at the near end, at most a batch. */
void direction_receive(struct direction *direction);

/* When the first packet is due; UINT64_MAX if none waits. */
uint64_t direction_due_ns(const struct direction *direction);

/* Writes the packets that are due to the far end, at most a batch. */
void direction_deliver(struct direction *direction);

/* Prints the counters to standard error. */
void direction_report(const struct direction *direction);
