/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is promised of a switch: once it has returned, not one more SYN goes to a worker that it
 * took out, and no connection fails meanwhile. All under load from four threads.
 */
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/grace.h"
#include "steer_client.h"
#include "steer_load.h"

#define WORKERS 8

/* Nothing that began after @mark went to the listener. */
static bool is_left_alone(const struct bed *bed, unsigned int listener, unsigned int mark)
{
	return bed->listeners[listener].newest < mark;
}

/* Drains @slot; what it has had by the return is all that it gets, whatever comes. */
static void drain(struct bed *bed, unsigned int slot)
{
	unsigned int mark;
	uint64_t frozen;

	bed_set_state(bed, slot, RPD_SLOT_DRAINING);
	frozen = bed_count(bed, slot, RPD_OUTCOME_steered);
	mark = load_mark(bed);
	load_wait(bed, 50);
	CHECK_EQ(bed_count(bed, slot, RPD_OUTCOME_steered), frozen);
	CHECK(is_left_alone(bed, slot, mark));
}

static void resume(struct bed *bed, unsigned int slot)
{
	const uint64_t before = bed_count(bed, slot, RPD_OUTCOME_steered);

	bed_set_state(bed, slot, RPD_SLOT_ACTIVE);
	load_wait(bed, 4 * WORKERS);
	CHECK(bed_count(bed, slot, RPD_OUTCOME_steered) > before);
}

/* On a slow machine packets are sent again, and some come when their connection is over. */
static uint64_t late(const struct bed *bed)
{
	return slow() > 1 ? bed_total(bed, RPD_OUTCOME_stray) : 0;
}

static void flips(struct bed *bed)
{
	unsigned int done;

	bed_simple(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < 100; i++) {
		drain(bed, i % WORKERS);
		resume(bed, i % WORKERS);
	}
	done = load_stop(bed);
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_steered), done);
	CHECK_EQ(bed_sum(bed), done + late(bed));
}

/* From one worker to the next, so that always only one is in the ring. */
static void one_at_a_time(struct bed *bed)
{
	bed_simple(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 1; i < WORKERS; i++)
		drain(bed, i);
	for (unsigned int i = 1; i < 3 * WORKERS; i++) {
		bed_set_state(bed, i % WORKERS, RPD_SLOT_ACTIVE);
		drain(bed, (i - 1) % WORKERS);
	}
	load_stop(bed);
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_slot_gone), 0);
}

/* The plan of a reload: drain, let the queue empty, stop. */
static void drain_then_close(struct bed *bed)
{
	unsigned int done;

	bed_simple(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < WORKERS - 1; i++) {
		drain(bed, i);
		load_pass(bed, load_mark(bed)); /* now its queue is empty */
		bed_close(bed, i);
	}
	load_wait(bed, 100);
	done = load_stop(bed);
	CHECK_EQ(bed_sum(bed), done + late(bed));
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_steered), done);
}

/* Another listener takes over a slot in one step. */
static void swap_in_place(struct bed *bed)
{
	unsigned int mark, next, done;

	bed_simple(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < WORKERS; i++) {
		next = bed_stranger(bed, 0);
		bed_admit(bed, next, i, RPD_FIRST_LABEL);
		bed_grace();
		mark = load_mark(bed);
		load_wait(bed, 100);
		CHECK(is_left_alone(bed, i, mark));
		CHECK(!is_left_alone(bed, next, mark));
	}
	done = load_stop(bed);
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_steered), done);
	CHECK_EQ(bed_sum(bed), done + late(bed));
}

/* What was queued at a listener that was swapped out is still its to accept. */
static void swapped_queue(struct bed *bed)
{
	int clients[2 * WORKERS];
	unsigned int next;

	bed_simple(bed, WORKERS);
	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		clients[i] = client_hold(bed);
	next = bed_stranger(bed, 0);
	bed_admit(bed, next, 3, RPD_FIRST_LABEL);
	server_collect(bed, 2 * WORKERS);
	CHECK_EQ(server_taken(bed, 3), 2);
	CHECK_EQ(server_taken(bed, next), 0);
	visit(bed, WORKERS);
	CHECK_EQ(server_taken(bed, 3), 2);
	CHECK_EQ(server_taken(bed, next), 1);
	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		client_reset(clients[i]);
}

/* The program itself is replaced while connections come. */
static void attach_again(struct bed *bed)
{
	unsigned int done;

	bed_simple(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < 200; i++) {
		bed_attach(bed, 0);
		load_wait(bed, 2);
	}
	done = load_stop(bed);
	CHECK_EQ(bed_total(bed, RPD_OUTCOME_steered), done);
	CHECK_EQ(bed_sum(bed), done + late(bed));
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"flips", flips},
	        {"one_at_a_time", one_at_a_time},
	        {"drain_then_close", drain_then_close},
	        {"swap_in_place", swap_in_place},
	        {"swapped_queue", swapped_queue},
	        {"attach_again", attach_again},
	};

	return check_run(cases, ARRAY_SIZE(cases));
}
