/* SPDX-License-Identifier: BSD-2-Clause */
/* Migration: when a listener closes, other workers (its heirs) get the connections in its queue,
 * with their requests, and its handshakes. The beds have blue workers in slots 0 to 3 and green
 * ones in 4 to 7. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/filter.h>

#include "base/cleanup.h"
#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "kern/steer_socks.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/raw.h"
#include "steering/server.h"

#define BLUES   4
#define WORKERS 8
#define QUEUE   48
#define REQUEST 3000 /* bytes */

/* Heirs that the scan finds, since the ring still has the dead slot, get their share by chance. It
 * is the same in each run. */
#define SLACK 4

/* ---- The bed ---- */

static void make_workers(struct bed *bed, int family)
{
	bed_endpoint(bed, family, true);
	bed_workers(bed, 0, 0, BLUES, "blue");
	bed_workers(bed, 0, BLUES, WORKERS - BLUES, "green");
	bed_apply(bed);
	bed_attach(bed, 0);
}

static void set_states(struct bed *bed, enum rpd_slot_state state)
{
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		bed->draft.slots[slot].state = state;
}

/* Makes a request that differs from that of any other client. */
static void write_request(unsigned int client, uint8_t request[REQUEST])
{
	for (unsigned int i = 0; i < REQUEST; i++)
		request[i] = (uint8_t)(client * 17 + i * 7 + (i >> 8));
	request[0] = (uint8_t)client;
}

static void send_bytes(int fd, const uint8_t *bytes, size_t n)
{
	CHECK_EQ(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

/* QUEUE clients that have sent half of their request, and are not accepted. */
struct queue {
	int clients[QUEUE];
};

/* Lets the clients wait in the queue of the slot's worker, then makes all slots active. */
static void queue_up(struct bed *bed, struct queue *queue, unsigned int slot, int family)
{
	uint8_t request[REQUEST];

	set_states(bed, RPD_SLOT_DRAINING);
	bed_set_state(bed, slot, RPD_SLOT_ACTIVE);
	for (unsigned int i = 0; i < QUEUE; i++) {
		queue->clients[i] = client_connect(bed, 0, family, NULL);
		CHECK(queue->clients[i] >= 0);
		write_request(i, request);
		send_bytes(queue->clients[i], request, REQUEST / 2);
	}
	set_states(bed, RPD_SLOT_ACTIVE);
	bed_apply(bed);
}

/* Sends the second half of the requests; some clients then shut down their side. */
static void queue_go_on(const struct queue *queue)
{
	uint8_t request[REQUEST];

	for (unsigned int i = 0; i < QUEUE; i++) {
		write_request(i, request);
		send_bytes(queue->clients[i], request + REQUEST / 2, REQUEST / 2);
		if (i % 3 == 0)
			shutdown(queue->clients[i], SHUT_WR);
	}
}

/* Reads a request, and answers it by the client's number. */
static void answer(int fd)
{
	uint8_t request[REQUEST], wanted[REQUEST];

	CHECK_EQ(recv(fd, request, sizeof(request), MSG_WAITALL), REQUEST);
	write_request(request[0], wanted);
	CHECK_EQ(memcmp(request, wanted, REQUEST), 0);
	send_bytes(fd, request, 1);
}

/* Every client of the queue gets its answer, from any worker. */
static void expect_answers(struct bed *bed, struct queue *queue)
{
	const int64_t end = deadline_ms();
	unsigned int answered = 0;
	uint8_t byte;

	queue_go_on(queue);
	while (answered < QUEUE && deadline_clock_ms() < end)
		for (unsigned int i = 0; i < bed->n_listeners; i++)
			for (int fd; (fd = server_accept(bed, i)) >= 0; close(fd), answered++)
				answer(fd);
	CHECK_EQ(answered, QUEUE);
	for (unsigned int i = 0; i < QUEUE; i++) {
		CHECK_EQ(recv(queue->clients[i], &byte, 1, 0), 1);
		CHECK_EQ(byte, i);
		client_reset(queue->clients[i]);
	}
}

/* The listeners with a bit in @heirs got equal shares, give or take @slack, and no other got any.
 */
static void expect_heirs(const struct bed *bed, unsigned int heirs, unsigned int slack)
{
	const unsigned int n = (unsigned int)__builtin_popcount(heirs);

	for (unsigned int i = 0; i < bed->n_listeners; i++) {
		const bool is_heir = heirs >> i & 1;

		CHECK_BETWEEN(server_taken(bed, i), is_heir ? QUEUE / n - slack : 0,
		              is_heir ? (QUEUE + n - 1) / n + slack : 0);
		if (is_heir && i < WORKERS)
			CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_migrated), server_taken(bed, i));
	}
}

/* ---- The heirs ---- */

/* The planned way: the worker is drained first. */
static void heirs_have_same_version(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	bed_set_state(bed, 0, RPD_SLOT_DRAINING);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0e, 0);
}

/* The accident: the ring still has the slot of the closed listener. */
static void closed_without_drain(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0e, SLACK);
}

static void closed_without_drain_v6(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET6);
	queue_up(bed, &queue, 5, AF_INET6);
	bed_close(bed, 5);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xd0, SLACK);
}

/* The listener is closed by the kill of its process. */
static void worker_killed(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 2, AF_INET);
	bed_give_away(bed, 2);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 0);
	kill(bed->child, SIGKILL);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0b, SLACK);
}

static void dead_siblings_get_nothing(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	bed_close(bed, 1);
	bed_close(bed, 2);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x08, 0);
}

static void other_version_inherits(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	for (int i = BLUES - 1; i >= 0; i--)
		bed_close(bed, (unsigned int)i);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xf0, SLACK);
}

/* A draining worker inherits nothing, even of its own version. */
static void drained_siblings_get_nothing(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	bed_set_state(bed, 0, RPD_SLOT_DRAINING);
	bed_set_state(bed, 1, RPD_SLOT_DRAINING);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0c, 0);
}

static void drained_version_gets_nothing(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	for (unsigned int i = 0; i < BLUES; i++)
		bed_set_state(bed, i, RPD_SLOT_DRAINING);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xf0, 0);
}

/* ... unless no other worker lives. */
static void only_drained_worker_left(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	bed_listen(bed, 0);
	queue_up(bed, &queue, 0, AF_INET);
	bed_set_state(bed, 6, RPD_SLOT_DRAINING);
	for (int i = WORKERS - 1; i >= 0; i--)
		if (i != 6)
			bed_close(bed, (unsigned int)i);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x40, 0);
}

/* All workers were drained by force: new connections are refused, those in queues are kept. */
static void all_workers_drained(void)
{
	struct bed *bed = bed_new();
	struct queue queue;

	make_workers(bed, AF_INET);
	bed_listen(bed, 0);
	queue_up(bed, &queue, 0, AF_INET);
	set_states(bed, RPD_SLOT_DRAINING);
	bed_apply(bed);
	CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xfe, SLACK);
}

/* After `switch green`, the queue of a blue worker goes to blue workers, which stand by. Slot 1 is
 * drained. */
static void switched_version_inherits_its_own(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	struct error err;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	CHECK_EQ(schedule_edit_switch_to(&bed->draft, "green", &err), 0);
	bed_set_state(bed, 1, RPD_SLOT_DRAINING);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0c, SLACK);
}

/* ... until the last blue worker is gone. */
static void switched_version_gone(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	struct error err;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	CHECK_EQ(schedule_edit_switch_to(&bed->draft, "green", &err), 0);
	bed_apply(bed);
	for (int i = BLUES - 1; i >= 0; i--)
		bed_close(bed, (unsigned int)i);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xf0, 0);
}

/* A listener that was replaced still has the version of its slot. */
static void swapped_out_listener_closes(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	unsigned int next;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 1, AF_INET);
	next = bed_listen(bed, 0);
	bed_admit(bed, next, 1, "blue");
	bed_close(bed, 1);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0d | 1u << next, 0);
}

/* A listener of the group that was never admitted. */
static void foreign_listener_closes(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	unsigned int foreign;

	make_workers(bed, AF_INET);
	foreign = bed_listen(bed, 0);
	CHECK_EQ(steer_socks_clear(&bed->steer, 0, 0), 0);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, 0, bed->listeners[foreign].fd), 0);
	queue_up(bed, &queue, 0, AF_INET);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, 0, bed->listeners[0].fd), 0);
	bed_close(bed, foreign);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xff, 0);
}

/* ---- No worker is left ---- */

/* The last worker dies with its queue; only a foreign listener is left. Returns it. */
static unsigned int close_all(struct bed *bed, struct queue *queue)
{
	unsigned int foreign;

	make_workers(bed, AF_INET);
	foreign = bed_listen(bed, 0);
	queue_up(bed, queue, 0, AF_INET);
	for (int i = WORKERS - 1; i >= 0; i--)
		bed_close(bed, (unsigned int)i);
	return foreign;
}

static void no_worker_left(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	const unsigned int foreign = close_all(bed, &queue);

	expect_answers(bed, &queue);
	expect_heirs(bed, 1u << foreign, 0);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_fell_back), QUEUE);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 0);
}

static void no_worker_left_strict(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	char byte;

	bed->draft.flags = RPD_STRICT;
	close_all(bed, &queue);
	for (unsigned int i = 0; i < QUEUE; i++) {
		CHECK(recv(queue.clients[i], &byte, 1, 0) < 0 && errno == ECONNRESET);
		close(queue.clients[i]);
	}
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), QUEUE);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 0);
}

/* The queue waits in the parking slot, and the next worker gets it. */
static void parking_inherits(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	unsigned int parking, next;

	bed->draft.flags = RPD_STRICT;
	make_workers(bed, AF_INET);
	parking = bed_listen(bed, 0);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PARKING, bed->listeners[parking].fd), 0);
	queue_up(bed, &queue, 0, AF_INET);
	for (int i = WORKERS - 1; i >= 0; i--)
		bed_close(bed, (unsigned int)i);
	CHECK_EQ(counters_row(bed, RPD_ROW_PARKING, RPD_OUTCOME_migrated), QUEUE);

	next = bed_listen(bed, 0);
	bed_admit(bed, next, 5, "red");
	bed_close(bed, parking);
	expect_answers(bed, &queue);
	expect_heirs(bed, 1u << next, 0);
	CHECK_EQ(counters_row(bed, 5, RPD_OUTCOME_migrated), QUEUE);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(heirs_have_same_version),
	        CHECK_CASE(closed_without_drain),
	        CHECK_CASE(closed_without_drain_v6),
	        CHECK_CASE(worker_killed),
	        CHECK_CASE(dead_siblings_get_nothing),
	        CHECK_CASE(other_version_inherits),
	        CHECK_CASE(drained_siblings_get_nothing),
	        CHECK_CASE(drained_version_gets_nothing),
	        CHECK_CASE(only_drained_worker_left),
	        CHECK_CASE(all_workers_drained),
	        CHECK_CASE(switched_version_inherits_its_own),
	        CHECK_CASE(switched_version_gone),
	        CHECK_CASE(swapped_out_listener_closes),
	        CHECK_CASE(foreign_listener_closes),
	        CHECK_CASE(no_worker_left),
	        CHECK_CASE(no_worker_left_strict),
	        CHECK_CASE(parking_inherits),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
