/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a listener leaves behind when it closes: connections with a request that nobody accepted,
 * and handshakes. Who gets them, and that nothing of them is lost.
 *
 * The beds have blue workers in slots 0 to 3 and green ones in 4 to 7.
 */
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
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/raw.h"
#include "steering/server.h"

#define BLUES   4
#define WORKERS 8
#define QUEUE   48
#define REQUEST 3000 /* bytes */

/* Heirs that are searched for, as the ring still names the dead, have their share by chance; it is
 * the same each time. */
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

/* A request that no other client has. */
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

/* QUEUE clients that have sent half of their request, and that nobody accepts. */
struct queue {
	int clients[QUEUE];
};

/* Lets @queue wait at the slot's worker; all other slots are as before then. */
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

/* The second half of the requests; some clients have no more to say then. */
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

/* Every client of the queue gets its answer, from whatever worker. */
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

/* Evenly to the listeners whose bits are in @heirs, give or take @slack, and to no other. */
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

/* ---- To whom ---- */

/* The plan: drained first. */
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

/* The accident: the ring still names the one that is gone. */
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

/* Not by close(), but as a process that is killed. */
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

/* A worker that drains is not to get anything new, not even of its own version. */
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

/* ... unless nobody else is left. */
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

/* The user has taken everybody out by force: new connections are refused, old ones are kept. */
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

/* `switch green`: what a blue worker leaves behind stays with blue, whose workers stand by. Slot 1
 * is drained. */
static void switched_version_inherits_its_own(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	struct error err;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	CHECK_EQ(schedule_edit_switch(&bed->draft, "green", &err), 0);
	bed_set_state(bed, 1, RPD_SLOT_DRAINING);
	bed_close(bed, 0);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0x0c, SLACK);
}

/* ... until the last of them is gone. */
static void switched_version_gone(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	struct error err;

	make_workers(bed, AF_INET);
	queue_up(bed, &queue, 0, AF_INET);
	CHECK_EQ(schedule_edit_switch(&bed->draft, "green", &err), 0);
	bed_apply(bed);
	for (int i = BLUES - 1; i >= 0; i--)
		bed_close(bed, (unsigned int)i);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xf0, 0);
}

/* A listener that was swapped out is of its slot's version still. */
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

/* A member of the group that never was admitted. */
static void foreign_listener_closes(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	unsigned int foreign;

	make_workers(bed, AF_INET);
	foreign = bed_listen(bed, 0);
	CHECK_EQ(steer_clear(&bed->steer, 0, 0), 0);
	CHECK_EQ(steer_put(&bed->steer, 0, 0, bed->listeners[foreign].fd), 0);
	queue_up(bed, &queue, 0, AF_INET);
	CHECK_EQ(steer_put(&bed->steer, 0, 0, bed->listeners[0].fd), 0);
	bed_close(bed, foreign);
	expect_answers(bed, &queue);
	expect_heirs(bed, 0xff, 0);
}

/* ---- Nobody is left ---- */

/* The last worker dies with its queue; only a foreign is left, which is returned. */
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

/* The queue waits in the parking slot, and the next worker has it. */
static void parking_inherits(void)
{
	struct bed *bed = bed_new();
	struct queue queue;
	unsigned int parking, next;

	bed->draft.flags = RPD_STRICT;
	make_workers(bed, AF_INET);
	parking = bed_listen(bed, 0);
	CHECK_EQ(steer_put(&bed->steer, 0, RPD_SLOT_PARKING, bed->listeners[parking].fd), 0);
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

/* ---- Handshakes ---- */

/* A client that hears nothing, so that its handshake stays half done. */
static int deaf_client(const struct bed *bed, union socket_address *ret_own)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = {.len = 1, .filter = &nothing};
	const union socket_address to = client_target(bed, 0, AF_INET);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t length = sizeof(*ret_own);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	CHECK(connect(fd, &to.sa, sizeof(to)) < 0 && errno == EINPROGRESS);
	CHECK_EQ(getsockname(fd, &ret_own->sa, &length), 0);
	return fd;
}

/* The worker closes before the client's ACK: it is taken on when the ACK comes. */
static void handshake_migrates_on_ack(void)
{
	struct bed *bed = bed_new();
	_cleanup_close_ int wire = -1, client = -1, server = -1;
	struct raw_packet syn_ack, ack;
	union socket_address own;

	make_workers(bed, AF_INET);
	wire = raw_listen();
	client = deaf_client(bed, &own);
	raw_await(wire, &own, RAW_SYN | RAW_ACK, &syn_ack);
	CHECK_EQ(counters_row(bed, 0, RPD_OUTCOME_steered), 1);
	bed_close(bed, 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 0);

	ack = (struct raw_packet){.from = syn_ack.to,
	                          .to = syn_ack.from,
	                          .seq = syn_ack.ack,
	                          .ack = syn_ack.seq + 1,
	                          .flags = RAW_ACK};
	raw_send(&ack);
	CHECK_UNTIL(counters_total(bed, RPD_OUTCOME_migrated) == 1);
	for (unsigned int i = 1; i < BLUES && server < 0; i++)
		server = server_accept(bed, i);
	CHECK(server >= 0);
	CHECK_EQ(counters_sum(bed), 2);
}

/* The client comes back to life only after the worker has closed: it is taken on when the kernel
 * sends the next SYN-ACK, a second after the first. */
static void handshake_migrates_on_timer(void)
{
	struct bed *bed = bed_new();
	struct pollfd connected = {.events = POLLOUT};
	_cleanup_close_ int client = -1, server = -1;
	int error = -1, unused = 0;
	socklen_t length = sizeof(error);
	union socket_address own;

	make_workers(bed, AF_INET);
	client = deaf_client(bed, &own);
	CHECK_UNTIL(counters_row(bed, 0, RPD_OUTCOME_steered) == 1);
	bed_close(bed, 0);
	CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)), 0);
	connected.fd = client;
	CHECK_EQ(poll(&connected, 1, DEADLINE_S * 1000), 1);
	CHECK_EQ(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	CHECK_EQ(error, 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 1);
	for (unsigned int i = 1; i < BLUES && server < 0; i++)
		server = server_accept(bed, i);
	CHECK(server >= 0);
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
	        CHECK_CASE(handshake_migrates_on_ack),
	        CHECK_CASE(handshake_migrates_on_timer),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
