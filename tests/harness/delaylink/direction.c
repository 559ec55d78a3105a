/* SPDX-License-Identifier: BSD-2-Clause */
#include "direction.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH       32 /* packets from one end before the other end gets its turn */
#define NS_PER_SEC  1000000000ULL
#define NS_PER_USEC 1000ULL

uint64_t direction_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

void direction_init(struct direction *direction, const struct end *from, const struct end *to,
                    const struct options *options)
{
	*direction = (struct direction){
	        .from = from,
	        .to = to,
	        .delay_ns = options->delay_us * NS_PER_USEC,
	        .pool = calloc(options->queue, sizeof(*direction->pool)),
	};
	if (!direction->pool)
		err(EXIT_FAILURE, "queue of %zu packets", options->queue);
	STAILQ_INIT(&direction->waiting);
	STAILQ_INIT(&direction->unused);
	for (size_t i = 0; i < options->queue; i++)
		STAILQ_INSERT_TAIL(&direction->unused, &direction->pool[i], next);
}

void direction_receive(struct direction *direction)
{
	struct packet overflow;

	for (int i = 0; i < BATCH; i++) {
		struct packet *packet = STAILQ_FIRST(&direction->unused);
		bool full = !packet;
		ssize_t n;

		if (full)
			packet = &overflow;
		n = read(direction->from->tun, packet->data, sizeof(packet->data));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			err(EXIT_FAILURE, "%s in %s", direction->from->name,
			    direction->from->netns);
		if (full) {
			direction->dropped++;
			continue;
		}
		packet->len = (size_t)n;
		packet->due_ns = direction_now_ns() + direction->delay_ns;
		STAILQ_REMOVE_HEAD(&direction->unused, next);
		STAILQ_INSERT_TAIL(&direction->waiting, packet, next);
	}
}

uint64_t direction_due_ns(const struct direction *direction)
{
	const struct packet *first = STAILQ_FIRST(&direction->waiting);

	return first ? first->due_ns : UINT64_MAX;
}

void direction_deliver(struct direction *direction)
{
	for (int i = 0; i < BATCH && direction_due_ns(direction) <= direction_now_ns(); i++) {
		struct packet *packet = STAILQ_FIRST(&direction->waiting);

		if (write(direction->to->tun, packet->data, packet->len) == (ssize_t)packet->len)
			direction->delivered++;
		else
			direction->refused++;
		STAILQ_REMOVE_HEAD(&direction->waiting, next);
		STAILQ_INSERT_HEAD(&direction->unused, packet, next);
	}
}

void direction_report(const struct direction *direction)
{
	fprintf(stderr,
	        "%s to %s: %" PRIu64 " delivered, %" PRIu64 " dropped (queue full), %" PRIu64
	        " refused\n",
	        direction->from->name, direction->to->name, direction->delivered,
	        direction->dropped, direction->refused);
}

void direction_deinit(struct direction *direction)
{
	free(direction->pool);
}
