/* SPDX-License-Identifier: BSD-2-Clause */
/* Shares are exact although stuck workers are skipped, as long as each worker accepts in time: it
 * keeps its turn if its queue is empty, if the queue has moved since its last turn, or if that was
 * less than schedule.stuck_after ago. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/steer_queues.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/load.h"
#include "steering/server.h"

#define WORKERS  8
#define TICKS(s) ((uint32_t)(((uint64_t)(s)*1000000000) >> RPD_TICK_LOG))
#define AT_ONCE  1 /* the shortest time */
#define IN_TIME  TICKS(1000)
#define BURST    1000

static struct bed *start(uint32_t stuck_after)
{
	struct bed *bed = bed_new();

	bed->draft.stuck_after = stuck_after;
	bed_start(bed, WORKERS);
	return bed;
}

static struct rpd_queue queue_of(const struct bed *bed, unsigned int slot)
{
	struct rpd_queue rows[WORKERS];

	CHECK_EQ(steer_queues_read(&bed->steer, 0, WORKERS, rows), 0);
	return rows[slot];
}

/* Each worker has kept its @n turns. Packets that can't make a connection may have come, too: a
 * reset by a client, if the server's socket is gone by then. */
static void expect_exact(const struct bed *bed, unsigned int n)
{
	for (unsigned int slot = 0; slot < WORKERS; slot++) {
		CHECK_EQ(counters_row(bed, slot, RPD_OUTCOME_steered), n);
		CHECK_EQ(queue_of(bed, slot).passed[RPD_PASS_stuck], 0);
		CHECK_EQ(queue_of(bed, slot).passed[RPD_PASS_full], 0);
	}
	CHECK_EQ(counters_sum(bed) - counters_total(bed, RPD_OUTCOME_stray), WORKERS * n);
}

/* Accepts a connection that the worker in the slot has just got, and closes it. */
static void accept_at_once(struct bed *bed, unsigned int slot)
{
	int fd;

	CHECK_UNTIL((fd = server_accept(bed, slot)) >= 0);
	close(fd);
}

static void empty_queues(void)
{
	struct bed *bed = start(AT_ONCE);

	client_visit(bed, 100 * WORKERS);
	expect_exact(bed, 100);
}

/* Server 3 serves its clients one after the other: its queue is not empty when its turn comes,
 * later than stuck_after, but it has moved. */
static void slow_worker(void)
{
	struct bed *bed = start(AT_ONCE);
	int clients[20 * WORKERS];

	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		const int64_t now = deadline_clock_ms();

		if (i % WORKERS == 0)
			CHECK_UNTIL(deadline_clock_ms() > now + 1);
		clients[i] = client_hold(bed);
		if (i % WORKERS != 3 || i > WORKERS)
			accept_at_once(bed, i % WORKERS);
	}
	expect_exact(bed, 20);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

/* Server 3 accepts @batch connections at a time, and the others accept at once: a queue is not
 * judged by those of others. */
static void run_batches(struct bed *bed, unsigned int batch)
{
	for (unsigned int i = 0; i < 10; i++) {
		for (unsigned int at = 0; at < batch * WORKERS; at++) {
			const int client = client_hold(bed);

			if (at % WORKERS != 3)
				accept_at_once(bed, at % WORKERS);
			client_reset(client);
		}
		server_collect(bed, batch);
	}
	expect_exact(bed, 10 * batch);
}

static void batches(void)
{
	run_batches(start(IN_TIME), 16);
}

/* Begins a connection, and does not wait for it. */
static int begin(const struct bed *bed)
{
	const union socket_address to = client_target(bed, 0, AF_INET);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0);
	CHECK(connect(fd, &to.sa, sizeof(to)) == 0 || errno == EINPROGRESS);
	return fd;
}

static void bursts(void)
{
	struct bed *bed = start(IN_TIME);
	int clients[BURST];

	for (unsigned int i = 0; i < 3; i++) {
		for (unsigned int at = 0; at < BURST; at++)
			clients[at] = begin(bed);
		server_collect(bed, BURST);
		for (unsigned int at = 0; at < BURST; at++)
			client_reset(clients[at]);
	}
	expect_exact(bed, 3 * BURST / WORKERS);
}

static void set_backlogs(const struct bed *bed, int backlog)
{
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(listen(bed->listeners[i].fd, backlog), 0);
}

/* With a backlog of 1, two connections can wait. */
static void short_backlogs(void)
{
	struct bed *bed = start(IN_TIME);

	set_backlogs(bed, 1);
	run_batches(bed, 2);
}

/* Half of the workers accept nothing, with a backlog of 1. The turns are dealt exactly all the
 * same, whether a worker keeps them or loses them. */
static void kept_or_lost(void)
{
	struct bed *bed = start(IN_TIME);
	int clients[20 * WORKERS];
	uint64_t kept = 0;

	set_backlogs(bed, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = client_hold(bed);
		for (unsigned int slot = WORKERS / 2; slot < WORKERS; slot++)
			for (int fd; (fd = server_accept(bed, slot)) >= 0;)
				close(fd);
	}
	for (unsigned int slot = 0; slot < WORKERS; slot++) {
		const uint64_t own = counters_row(bed, slot, RPD_OUTCOME_steered);

		CHECK_EQ(own, slot < WORKERS / 2 ? 2 : 20);
		CHECK_EQ(own + queue_of(bed, slot).passed[RPD_PASS_full], 20);
		kept += own;
	}
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_passed_on), ARRAY_SIZE(clients) - kept);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

/* Four clients at once, without pause. */
static void full_load(void)
{
	struct bed *bed = start(IN_TIME);

	load_run(bed, LOAD_V4(2000));
	expect_exact(bed, 1000);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(empty_queues),   CHECK_CASE(slow_worker),  CHECK_CASE(batches),
	        CHECK_CASE(bursts),         CHECK_CASE(kept_or_lost), CHECK_CASE(full_load),
	        CHECK_CASE(short_backlogs),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
