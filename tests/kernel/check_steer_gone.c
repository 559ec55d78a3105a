/* SPDX-License-Identifier: BSD-2-Clause */
/* Workers that are gone while the ring still has their slots, up to the last one. A foreign
 * listener gets nothing while a worker lives. */
#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "kern/steer_socks.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/load.h"
#include "steering/server.h"

#define WORKERS 8

/* @n connections, half of them one by one and half from four threads, all served. */
static void connect_all(struct bed *bed, unsigned int n)
{
	client_visit(bed, n / 2);
	load_run(bed, LOAD_V4(n / 8));
}

/* New connections that the slot got. */
static uint64_t given(const struct bed *bed, unsigned int slot)
{
	return counters_row(bed, slot, RPD_OUTCOME_steered) +
	       counters_row(bed, slot, RPD_OUTCOME_slot_gone);
}

static void one_worker_dead(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	bed_close(bed, 3);
	connect_all(bed, 7000);
	for (unsigned int i = 0; i < WORKERS; i++) {
		CHECK_EQ(server_taken(bed, i), i == 3 ? 0 : 1000);
		CHECK_EQ(given(bed, i), server_taken(bed, i));
	}
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_slot_gone), 1000);
	CHECK_EQ(counters_sum(bed), 7000);
}

/* The slot after several dead ones gets no larger share. */
static void four_neighbours_dead(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	for (unsigned int i = 2; i < 6; i++)
		bed_close(bed, i);
	for (unsigned int i = 0; i < 800; i++) {
		client_visit(bed, 1);
		CHECK_BETWEEN(server_taken(bed, 6), server_taken(bed, 0) - 1,
		              server_taken(bed, 0) + 1);
	}
	load_run(bed, LOAD_V4(800));
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(server_taken(bed, i), i >= 2 && i < 6 ? 0 : 1000);
}

static void all_dead_but_one(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (i != 5)
			bed_close(bed, i);
	connect_all(bed, 800);
	CHECK_EQ(server_taken(bed, 5), 800);
	CHECK_EQ(counters_row(bed, 5, RPD_OUTCOME_steered) +
	                 counters_row(bed, 5, RPD_OUTCOME_slot_gone),
	         800);
}

/* The few attempts in the ring find no live worker; the scan finds the one. */
static void one_alive_of_thousand(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		if (i != 700)
			bed_close(bed, i);
	connect_all(bed, 800);
	CHECK_EQ(server_taken(bed, 700), 800);
	CHECK_EQ(given(bed, 700), 800);
	CHECK(counters_row(bed, 700, RPD_OUTCOME_slot_gone) > 700);
	CHECK_EQ(counters_sum(bed), 800);
}

static void one_alive_of_thousand_sticky(void)
{
	struct bed *bed = bed_new();

	bed->draft.policy = RPD_STICKY;
	bed_start(bed, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		if (i != 700)
			bed_close(bed, i);
	load_run(bed, LOAD_V4(100));
	CHECK_EQ(server_taken(bed, 700), 400);
}

/* A draining worker serves when no other lives. */
static void drained_worker_is_better_than_none(void)
{
	struct bed *bed = bed_new();
	unsigned int foreign;

	bed_start(bed, WORKERS);
	foreign = bed_listen(bed, 0);
	bed_set_state(bed, 2, RPD_SLOT_DRAINING);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (i != 2)
			bed_close(bed, i);
	connect_all(bed, 80);
	CHECK_EQ(server_taken(bed, 2), 80);
	CHECK_EQ(counters_row(bed, 2, RPD_OUTCOME_slot_gone), 80);
	CHECK_EQ(server_taken(bed, foreign), 0);
}

static void foreign_listener_gets_nothing(void)
{
	struct bed *bed = bed_new();
	unsigned int foreign;

	bed_endpoint(bed, AF_INET, false);
	foreign = bed_listen(bed, 0);
	bed_workers(bed, 0, 0, 2, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	connect_all(bed, 2000);
	CHECK_EQ(server_taken(bed, foreign), 0);
	bed_close(bed, 1);
	connect_all(bed, 2000);
	CHECK_EQ(server_taken(bed, foreign), 0);
}

/* Leaves a foreign listener alone in the group. Returns it. */
static unsigned int leave_stranger(struct bed *bed)
{
	unsigned int foreign;

	bed_start(bed, WORKERS);
	foreign = bed_listen(bed, 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		bed_close(bed, i);
	return foreign;
}

static void foreign_listener_is_left(void)
{
	struct bed *bed = bed_new();
	const unsigned int foreign = leave_stranger(bed);

	connect_all(bed, 80);
	CHECK_EQ(server_taken(bed, foreign), 80);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_fell_back), 80);
	CHECK_EQ(counters_sum(bed), 80);
}

static void strict_refuses(void)
{
	struct bed *bed = bed_new();
	unsigned int foreign;

	bed->draft.flags = RPD_STRICT;
	foreign = leave_stranger(bed);
	for (unsigned int i = 0; i < 20; i++)
		CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(server_taken(bed, foreign), 0);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 20);
	CHECK_EQ(counters_sum(bed), 20);
}

/* Opens a listener in the parking slot. Returns it. */
static unsigned int park(struct bed *bed)
{
	const unsigned int parking = bed_listen(bed, 0);

	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PARKING, bed->listeners[parking].fd), 0);
	return parking;
}

/* Connections wait while no worker lives, with RPD_STRICT or without, and the next worker gets
 * them. */
static void parking_holds(struct bed *bed, uint32_t flags)
{
	unsigned int foreign, parking, next;
	int clients[20];

	bed->draft.flags = flags;
	foreign = leave_stranger(bed);
	parking = park(bed);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_hold(bed);
	CHECK_EQ(counters_row(bed, RPD_ROW_PARKING, RPD_OUTCOME_parked), ARRAY_SIZE(clients));
	CHECK_EQ(counters_sum(bed), ARRAY_SIZE(clients));

	next = bed_listen(bed, 0);
	bed_admit(bed, next, 0, RPD_FIRST_LABEL);
	bed_close(bed, parking);
	server_collect(bed, ARRAY_SIZE(clients));
	CHECK_EQ(server_taken(bed, next), ARRAY_SIZE(clients));
	CHECK_EQ(server_taken(bed, foreign), 0);
	CHECK_EQ(counters_row(bed, 0, RPD_OUTCOME_migrated), ARRAY_SIZE(clients));
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

static void parking_holds_connections(void)
{
	parking_holds(bed_new(), 0);
}

static void parking_holds_connections_strict(void)
{
	parking_holds(bed_new(), RPD_STRICT);
}

static void parking_is_last_resort(void)
{
	struct bed *bed = bed_new();
	unsigned int parking;

	bed_start(bed, WORKERS);
	parking = park(bed);
	bed_set_state(bed, 2, RPD_SLOT_DRAINING);
	connect_all(bed, 800);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (i != 2)
			bed_close(bed, i);
	connect_all(bed, 80);
	CHECK_EQ(server_taken(bed, parking), 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_parked), 0);
}

/* All workers were drained by force: no listener gets a connection, neither that of the parking
 * slot nor a foreign one. */
static void all_drained_refuses(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	bed_listen(bed, 0);
	park(bed);
	for (unsigned int i = 0; i < WORKERS; i++)
		bed_set_state(bed, i, RPD_SLOT_DRAINING);
	CHECK_EQ(steer_schedule(&bed->steer)->ring_len, 0);
	for (unsigned int i = 0; i < 20; i++)
		CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 20);
	CHECK_EQ(counters_sum(bed), 20);
	bed_set_state(bed, 6, RPD_SLOT_ACTIVE);
	CHECK_EQ(client_visit(bed, 10), 6);
	CHECK_EQ(server_taken(bed, 6), 10);
}

/* Before the first schedule, as in a service that is being made. */
static void no_schedule_yet(void)
{
	struct bed *bed = bed_new();

	bed_endpoint(bed, AF_INET, false);
	bed_listen(bed, 0);
	bed_attach(bed, 0);
	CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 1);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(one_worker_dead),
	        CHECK_CASE(four_neighbours_dead),
	        CHECK_CASE(all_dead_but_one),
	        CHECK_CASE(one_alive_of_thousand),
	        CHECK_CASE(one_alive_of_thousand_sticky),
	        CHECK_CASE(drained_worker_is_better_than_none),
	        CHECK_CASE(foreign_listener_gets_nothing),
	        CHECK_CASE(foreign_listener_is_left),
	        CHECK_CASE(strict_refuses),
	        CHECK_CASE(parking_holds_connections),
	        CHECK_CASE(parking_holds_connections_strict),
	        CHECK_CASE(parking_is_last_resort),
	        CHECK_CASE(all_drained_refuses),
	        CHECK_CASE(no_schedule_yet),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
