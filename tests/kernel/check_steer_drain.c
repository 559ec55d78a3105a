/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of the ring under load from four threads: once the change has returned, a worker that it
 * removed gets no further SYN; and no connection fails. */
#include "base/cleanup.h"
#include "kern/grace.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/load.h"
#include "steering/server.h"

#define WORKERS 8

/* Whether no connection that began after @mark went to the listener. */
static bool is_left_alone(const struct bed *bed, unsigned int listener, unsigned int mark)
{
	return bed->listeners[listener].newest < mark;
}

/* Drains @slot. Its counter must not move after that. */
static void drain(struct bed *bed, unsigned int slot)
{
	unsigned int mark;
	uint64_t frozen;

	bed_set_state(bed, slot, RPD_SLOT_DRAINING);
	frozen = counters_row(bed, slot, RPD_OUTCOME_steered);
	mark = load_mark(bed);
	load_wait(bed, 50);
	CHECK_EQ(counters_row(bed, slot, RPD_OUTCOME_steered), frozen);
	CHECK(is_left_alone(bed, slot, mark));
}

static void resume(struct bed *bed, unsigned int slot)
{
	const uint64_t before = counters_row(bed, slot, RPD_OUTCOME_steered);

	bed_set_state(bed, slot, RPD_SLOT_ACTIVE);
	load_wait(bed, 4 * WORKERS);
	CHECK(counters_row(bed, slot, RPD_OUTCOME_steered) > before);
}

/* On a slow machine packets are sent again, and may arrive after the end of their connection. */
static uint64_t late(const struct bed *bed)
{
	return deadline_factor() > 1 ? counters_total(bed, RPD_OUTCOME_stray) : 0;
}

static void drain_and_resume_under_load(void)
{
	struct bed *bed = bed_new();
	unsigned int done;

	bed_start(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < 100; i++) {
		drain(bed, i % WORKERS);
		resume(bed, i % WORKERS);
	}
	done = load_stop(bed);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), done);
	CHECK_EQ(counters_sum(bed), done + late(bed));
}

/* The only worker in the ring changes again and again. */
static void one_worker_active_at_a_time(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 1; i < WORKERS; i++)
		drain(bed, i);
	for (unsigned int i = 1; i < 3 * WORKERS; i++) {
		bed_set_state(bed, i % WORKERS, RPD_SLOT_ACTIVE);
		drain(bed, (i - 1) % WORKERS);
	}
	load_stop(bed);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_slot_gone), 0);
}

/* As in a reload: drain, wait until the queue is empty, stop. */
static void drain_then_close_listener(void)
{
	struct bed *bed = bed_new();
	unsigned int done;

	bed_start(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < WORKERS - 1; i++) {
		drain(bed, i);
		load_pass(bed, load_mark(bed)); /* now its queue is empty */
		bed_close(bed, i);
	}
	load_wait(bed, 100);
	done = load_stop(bed);
	CHECK_EQ(counters_sum(bed), done + late(bed));
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), done);
}

/* A new listener replaces that of a slot in one step. */
static void listener_swapped_under_load(void)
{
	struct bed *bed = bed_new();
	unsigned int mark, next, done;

	bed_start(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < WORKERS; i++) {
		next = bed_listen(bed, 0);
		bed_admit(bed, next, i, RPD_FIRST_LABEL);
		bed_grace();
		mark = load_mark(bed);
		load_wait(bed, 100);
		CHECK(is_left_alone(bed, i, mark));
		CHECK(!is_left_alone(bed, next, mark));
	}
	done = load_stop(bed);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), done);
	CHECK_EQ(counters_sum(bed), done + late(bed));
}

/* Connections in the queue of a listener that was replaced stay there. */
static void swapped_listener_keeps_its_queue(void)
{
	struct bed *bed = bed_new();
	int clients[2 * WORKERS];
	unsigned int next;

	bed_start(bed, WORKERS);
	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		clients[i] = client_hold(bed);
	next = bed_listen(bed, 0);
	bed_admit(bed, next, 3, RPD_FIRST_LABEL);
	server_collect(bed, 2 * WORKERS);
	CHECK_EQ(server_taken(bed, 3), 2);
	CHECK_EQ(server_taken(bed, next), 0);
	client_visit(bed, WORKERS);
	CHECK_EQ(server_taken(bed, 3), 2);
	CHECK_EQ(server_taken(bed, next), 1);
	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		client_reset(clients[i]);
}

/* The program itself is replaced under load. */
static void program_attached_again_under_load(void)
{
	struct bed *bed = bed_new();
	unsigned int done;

	bed_start(bed, WORKERS);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < 200; i++) {
		bed_attach(bed, 0);
		load_wait(bed, 2);
	}
	done = load_stop(bed);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), done);
	CHECK_EQ(counters_sum(bed), done + late(bed));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(drain_and_resume_under_load),
	        CHECK_CASE(one_worker_active_at_a_time),
	        CHECK_CASE(drain_then_close_listener),
	        CHECK_CASE(listener_swapped_under_load),
	        CHECK_CASE(swapped_listener_keeps_its_queue),
	        CHECK_CASE(program_attached_again_under_load),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
