/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers that are gone while the ring still names them, up to the point where nobody is left.
 * A socket that was not admitted gets nothing as long as somebody is.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/steer_socks.h"
#include "steer_client.h"
#include "steer_load.h"

#define WORKERS 8

/* @n connections from one client and from four threads, all served. */
static void connect_all(struct bed *bed, unsigned int n)
{
	visit(bed, n / 2);
	load_run(bed, LOAD_V4(n / 8));
}

/* New connections that were given to somebody. */
static uint64_t given(const struct bed *bed, unsigned int slot)
{
	return bed_count(bed, slot, RPD_OUTCOME_steered) +
	       bed_count(bed, slot, RPD_OUTCOME_slot_gone);
}

static void one_dead(struct bed *bed)
{
	bed_simple(bed, WORKERS);
	bed_close(bed, 3);
	connect_all(bed, 7000);
	for (unsigned int i = 0; i < WORKERS; i++) {
		CHECK_EQ(server_taken(bed, i), i == 3 ? 0 : 1000);
		CHECK_EQ(given(bed, i), server_taken(bed, i));
	}
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_slot_gone), 1000);
	CHECK_EQ(bed_sum(bed), 7000);
}

/* A run of dead slots is not a present for the one behind it. */
static void neighbours_dead(struct bed *bed)
{
	bed_simple(bed, WORKERS);
	for (unsigned int i = 2; i < 6; i++)
		bed_close(bed, i);
	for (unsigned int i = 0; i < 800; i++) {
		visit(bed, 1);
		CHECK_BETWEEN(server_taken(bed, 6), server_taken(bed, 0) - 1,
		              server_taken(bed, 0) + 1);
	}
	load_run(bed, LOAD_V4(800));
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(server_taken(bed, i), i >= 2 && i < 6 ? 0 : 1000);
}

static void all_dead_but_one(struct bed *bed)
{
	bed_simple(bed, WORKERS);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (i != 5)
			bed_close(bed, i);
	connect_all(bed, 800);
	CHECK_EQ(server_taken(bed, 5), 800);
	CHECK_EQ(bed_count(bed, 5, RPD_OUTCOME_steered) + bed_count(bed, 5, RPD_OUTCOME_slot_gone),
	         800);
}

/* Too many holes for the few tries in the ring: the scan finds the one. */
static void one_of_thousand(struct bed *bed)
{
	bed_simple(bed, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		if (i != 700)
			bed_close(bed, i);
	connect_all(bed, 800);
	CHECK_EQ(server_taken(bed, 700), 800);
	CHECK_EQ(given(bed, 700), 800);
	CHECK(bed_count(bed, 700, RPD_OUTCOME_slot_gone) > 700);
	CHECK_EQ(bed_sum(bed), 800);
}

static void one_of_thousand_sticky(struct bed *bed)
{
	bed->draft.policy = RPD_STICKY;
	bed_simple(bed, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		if (i != 700)
			bed_close(bed, i);
	load_run(bed, LOAD_V4(100));
	CHECK_EQ(server_taken(bed, 700), 400);
}

/* A worker that drains is better than none. */
static void drained_lives(struct bed *bed)
{
	unsigned int stranger;

	bed_simple(bed, WORKERS);
	stranger = bed_stranger(bed, 0);
	bed_set_state(bed, 2, RPD_SLOT_DRAINING);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (i != 2)
			bed_close(bed, i);
	connect_all(bed, 80);
	CHECK_EQ(server_taken(bed, 2), 80);
	CHECK_EQ(bed_count(bed, 2, RPD_OUTCOME_slot_gone), 80);
	CHECK_EQ(server_taken(bed, stranger), 0);
}

static void stranger_gets_nothing(struct bed *bed)
{
	unsigned int stranger;

	bed_endpoint(bed, AF_INET, false);
	stranger = bed_stranger(bed, 0);
	bed_workers(bed, 0, 0, 2, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	connect_all(bed, 2000);
	CHECK_EQ(server_taken(bed, stranger), 0);
	bed_close(bed, 1);
	connect_all(bed, 2000);
	CHECK_EQ(server_taken(bed, stranger), 0);
}

/* Nobody is left but a stranger, which is returned. */
static unsigned int leave_stranger(struct bed *bed)
{
	unsigned int stranger;

	bed_simple(bed, WORKERS);
	stranger = bed_stranger(bed, 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		bed_close(bed, i);
	return stranger;
}

static void stranger_is_left(struct bed *bed)
{
	const unsigned int stranger = leave_stranger(bed);

	connect_all(bed, 80);
	CHECK_EQ(server_taken(bed, stranger), 80);
	CHECK_EQ(bed_count(bed, RPD_ROW_NONE, RPD_OUTCOME_fell_back), 80);
	CHECK_EQ(bed_sum(bed), 80);
}

static void strict(struct bed *bed)
{
	unsigned int stranger;

	bed->draft.flags = RPD_STRICT;
	stranger = leave_stranger(bed);
	for (unsigned int i = 0; i < 20; i++)
		CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(server_taken(bed, stranger), 0);
	CHECK_EQ(bed_count(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 20);
	CHECK_EQ(bed_sum(bed), 20);
}

/* A stranger in the parking slot, which is returned. */
static unsigned int park(struct bed *bed)
{
	const unsigned int parking = bed_stranger(bed, 0);

	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PARKING, bed->listeners[parking].fd), 0);
	return parking;
}

/* Connections wait while nobody is left, whatever RPD_STRICT says, and the next worker has them. */
static void parking_holds(struct bed *bed, uint32_t flags)
{
	unsigned int stranger, parking, next;
	int clients[20];

	bed->draft.flags = flags;
	stranger = leave_stranger(bed);
	parking = park(bed);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_hold(bed);
	CHECK_EQ(bed_count(bed, RPD_ROW_PARKING, RPD_OUTCOME_parked), ARRAY_SIZE(clients));
	CHECK_EQ(bed_sum(bed), ARRAY_SIZE(clients));

	next = bed_stranger(bed, 0);
	bed_admit(bed, next, 0, RPD_FIRST_LABEL);
	bed_close(bed, parking);
	server_collect(bed, ARRAY_SIZE(clients));
	CHECK_EQ(server_taken(bed, next), ARRAY_SIZE(clients));
	CHECK_EQ(server_taken(bed, stranger), 0);
	CHECK_EQ(bed_count(bed, 0, RPD_OUTCOME_migrated), ARRAY_SIZE(clients));
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

static void parked(struct bed *bed)
{
	parking_holds(bed, 0);
}

static void parked_strict(struct bed *bed)
{
	parking_holds(bed, RPD_STRICT);
}

static void parking_is_last(struct bed *bed)
{
	unsigned int parking;

	bed_simple(bed, WORKERS);
	parking = park(bed);
	bed_set_state(bed, 2, RPD_SLOT_DRAINING);
	connect_all(bed, 800);
	for (unsigned int i = 0; i < WORKERS; i++)
		if (i != 2)
			bed_close(bed, i);
	connect_all(bed, 80);
	CHECK_EQ(server_taken(bed, parking), 0);
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_parked), 0);
}

/* The user has drained everybody by force: nobody gets anything, parking and strangers included. */
static void all_drained(struct bed *bed)
{
	bed_simple(bed, WORKERS);
	bed_stranger(bed, 0);
	park(bed);
	for (unsigned int i = 0; i < WORKERS; i++)
		bed_set_state(bed, i, RPD_SLOT_DRAINING);
	CHECK_EQ(steer_schedule(&bed->steer)->ring_len, 0);
	for (unsigned int i = 0; i < 20; i++)
		CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(bed_count(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 20);
	CHECK_EQ(bed_sum(bed), 20);
	bed_set_state(bed, 6, RPD_SLOT_ACTIVE);
	CHECK_EQ(visit(bed, 10), 6);
	CHECK_EQ(server_taken(bed, 6), 10);
}

/* Before the first schedule, as a service is while it is being made. */
static void nobody_yet(struct bed *bed)
{
	bed_endpoint(bed, AF_INET, false);
	bed_stranger(bed, 0);
	bed_attach(bed, 0);
	CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(bed_count(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 1);
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"one_dead", one_dead},
	        {"neighbours_dead", neighbours_dead},
	        {"all_dead_but_one", all_dead_but_one},
	        {"one_of_thousand", one_of_thousand},
	        {"one_of_thousand_sticky", one_of_thousand_sticky},
	        {"drained_lives", drained_lives},
	        {"stranger_gets_nothing", stranger_gets_nothing},
	        {"stranger_is_left", stranger_is_left},
	        {"strict", strict},
	        {"parked", parked},
	        {"parked_strict", parked_strict},
	        {"parking_is_last", parking_is_last},
	        {"all_drained", all_drained},
	        {"nobody_yet", nobody_yet},
	};

	return check_run(cases, ARRAY_SIZE(cases));
}
