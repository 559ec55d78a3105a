/* SPDX-License-Identifier: BSD-2-Clause */
/* RPD_LEAST_CONNECTIONS. The numbers of open connections are those that a case sets: the programs
 * that count are not loaded. */
#include <errno.h>
#include <sys/socket.h>
#include <linux/filter.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/dealing.h"
#include "core/schedule_edit.h"
#include "kern/steer_workers.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/load.h"
#include "steering/server.h"

#define WORKERS 8

static struct bed *start(unsigned int n, unsigned int choices)
{
	struct bed *bed = bed_new();

	bed->draft.policy = RPD_LEAST_CONNECTIONS;
	bed->draft.choices = choices;
	bed_start(bed, n);
	return bed;
}

static void set_open(const struct bed *bed, uint32_t slot, int64_t n)
{
	const struct rpd_load load = {.open = n};

	CHECK_EQ(bpf_map_update_elem(bed->steer.map_fd[STEER_LOADS], &slot, &load, BPF_ANY), 0);
}

static void equal_loads_are_round_robin(void)
{
	struct bed *bed = start(WORKERS, 3);

	for (unsigned int slot = 0; slot < WORKERS; slot++)
		set_open(bed, slot, 7);
	for (unsigned int i = 0; i < 100 * WORKERS; i++)
		CHECK_EQ(client_visit(bed, 1), i % WORKERS);
	CHECK_EQ(counters_sum(bed), 100 * WORKERS);
}

/* Each turn goes to the earliest of the least loaded of three. */
static void least_of_three(void)
{
	static const int open[WORKERS] = {5, 4, 3, 2, 9, 9, 0, 1};
	static const unsigned int wanted[WORKERS] = {2, 3, 3, 3, 6, 6, 6, 7};
	struct bed *bed = start(WORKERS, 3);

	for (unsigned int slot = 0; slot < WORKERS; slot++)
		set_open(bed, slot, open[slot]);
	for (unsigned int i = 0; i < 5 * WORKERS; i++)
		CHECK_EQ(client_visit(bed, 1), wanted[i % WORKERS]);
}

static void as_many_choices_as_asked(void)
{
	struct bed *bed = start(16, RPD_CHOICES_MIN);

	for (unsigned int slot = 0; slot < 16; slot++)
		set_open(bed, slot, 100 - slot);
	for (unsigned int choices = RPD_CHOICES_MIN; choices <= RPD_CHOICES_MAX; choices++) {
		bed->draft.choices = choices;
		bed_apply(bed);
		bed->steer.control->cursor = 0;
		CHECK_EQ(client_visit(bed, 1), choices - 1);
	}
}

/* (6 + 1) / 200 is less than (3 + 1) / 100. */
static void load_is_for_the_weight(void)
{
	struct bed *bed = start(2, 2);
	struct error err;

	CHECK_EQ(schedule_edit_set_weight(&bed->draft, &(struct slots){.n = 1, .at = {1}}, 200,
	                                  &err),
	         0);
	bed_apply(bed);
	set_open(bed, 0, 3);
	set_open(bed, 1, 6);
	for (unsigned int i = 0; i < 30; i++)
		CHECK_EQ(client_visit(bed, 1), 1);
	set_open(bed, 1, 8);
	for (unsigned int i = 0; i < 30; i++)
		CHECK_EQ(client_visit(bed, 1), 0);
}

static void set_resets(const struct bed *bed, uint32_t slot, uint32_t n, uint32_t ticks_ago)
{
	const uint32_t now = clock_ns(CLOCK_MONOTONIC) >> RPD_RESET_TICK_LOG;
	const struct rpd_load load = {.resets = (uint64_t)(now - ticks_ago) << 32 | n};

	CHECK_EQ(bpf_map_update_elem(bed->steer.map_fd[STEER_LOADS], &slot, &load, BPF_ANY), 0);
}

/* A worker that resets its connections has none open, but it is not the least loaded for that. */
static void resets_count_for_some_time(void)
{
	struct bed *bed = start(4, 4);

	for (unsigned int slot = 0; slot < 4; slot++)
		set_open(bed, slot, 9);
	set_resets(bed, 1, 1000, 1); /* 500 are left, and 250 if a tick ends meanwhile */
	client_visit(bed, 40);
	CHECK_EQ(server_taken(bed, 1), 0);
	set_resets(bed, 1, 1000, 10);
	client_visit(bed, 40);
	CHECK_EQ(server_taken(bed, 1), 40);
}

/* Two heavy workers have most entries of the ring: the third one is still a choice in each turn. */
static void choices_are_different_workers(void)
{
	struct bed *bed = start(3, 3);
	struct error err;

	CHECK_EQ(schedule_edit_set_weight(&bed->draft, &(struct slots){.n = 2, .at = {0, 1}}, 400,
	                                  &err),
	         0);
	bed_apply(bed);
	set_open(bed, 0, 1000);
	set_open(bed, 1, 1000);
	for (unsigned int i = 0; i < 3 * bed->draft.ring_len; i++)
		CHECK_EQ(client_visit(bed, 1), 2);
}

/* All accounts of its slot were in use when it was admitted: it has its own turns, and no other. */
static void worker_that_is_not_counted(void)
{
	struct bed *bed = start(WORKERS, 3);

	bed->draft.slots[3].generation = RPD_ACCOUNT_NONE / RPD_SLOT_MAX;
	bed_apply(bed);
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		set_open(bed, slot, 7);
	for (unsigned int i = 0; i < 4 * WORKERS; i++)
		CHECK_EQ(client_visit(bed, 1), i % WORKERS);
}

/* A count that has gone wrong is 0 at worst. */
static void negative_count_is_none(void)
{
	struct bed *bed = start(WORKERS, 3);

	set_open(bed, 3, -5);
	for (unsigned int i = 0; i < 4 * WORKERS; i++)
		CHECK_EQ(client_visit(bed, 1), i % WORKERS);
}

/* Begins handshakes that are not completed: the client receives nothing. */
static int begin_handshake(const struct bed *bed)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = {.len = 1, .filter = &nothing};
	const union socket_address to = client_target(bed, 0, AF_INET);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	CHECK(connect(fd, &to.sa, sizeof(to)) < 0 && errno == EINPROGRESS);
	return fd;
}

/* A burst is not sent to the same worker, though no connection is open yet. */
static void handshakes_count(void)
{
	struct bed *bed = start(WORKERS, 8);
	int clients[3];

	for (unsigned int slot = 0; slot < WORKERS; slot++)
		set_open(bed, slot, slot == 5 ? 0 : 2);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = begin_handshake(bed);
	CHECK_EQ(counters_row(bed, 5, RPD_OUTCOME_steered), 2);
	CHECK_EQ(counters_row(bed, 2, RPD_OUTCOME_steered), 1); /* its own turn, the third one */
	CHECK_EQ(client_visit(bed, 1), 3); /* which accepts it, though 5 was tried */
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

/* Two versions, one with far more connections: each gets exactly half, and so does the canary. */
static void versions_and_canary_keep_their_shares(void)
{
	struct bed *bed = bed_new();
	const struct slots canary = {.n = 1, .at = {7}};
	unsigned int blue = 0;
	struct error err;

	bed->draft.policy = RPD_LEAST_CONNECTIONS;
	bed_start_versions(bed, 4, "blue", "green");
	for (unsigned int slot = 0; slot < 4; slot++)
		set_open(bed, slot, 1000 + 10 * slot);
	client_visit(bed, 800);
	for (unsigned int slot = 0; slot < 4; slot++)
		blue += server_taken(bed, slot);
	CHECK_EQ(blue, 400);
	CHECK_EQ(server_taken(bed, 0), 300); /* of the turns of 0, 2 and 3 */
	CHECK_EQ(schedule_edit_set_canary(&bed->draft, &canary, 50, &err), 0);
	bed_apply(bed);
	bed->listeners[7].taken = 0;
	client_visit(bed, 1000);
	CHECK_EQ(server_taken(bed, 7), 50);
}

/* The turn of a worker without a listener, and choices without one. */
static void workers_leave(void)
{
	struct bed *bed = start(WORKERS, 3);

	set_open(bed, 0, 9);
	bed_close(bed, 1);
	bed_close(bed, 5);
	client_visit(bed, 800);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered) +
	                 counters_total(bed, RPD_OUTCOME_slot_gone),
	         800);
	CHECK_EQ(server_taken(bed, 0), 0);
}

static void set_age(struct bed *bed, unsigned int slot, double s)
{
	struct rpd_worker worker = {.admitted_ns =
	                                    clock_ns(CLOCK_MONOTONIC) - (int64_t)(s * NS_PER_S)};

	CHECK_EQ(steer_workers_set(&bed->steer, slot, &worker), 0);
}

/* Four workers under a slow start of 1,000 s: slot 2 has no connections, each other one 99. @age
 * and
 * @others: of slot 2 and of the others, in seconds. */
static void start_slowly(struct bed *bed, double age, double others)
{
	dealing_apply(
	        &(struct dealing){.policy = RPD_LEAST_CONNECTIONS, .slow_start = 1000 * NS_PER_S},
	        &bed->draft);
	bed_start(bed, 4);
	for (unsigned int slot = 0; slot < 4; slot++) {
		set_open(bed, slot, slot == 2 ? 0 : 99);
		set_age(bed, slot, slot == 2 ? age : others);
	}
}

/* A young worker without connections takes only its own turns; at half of the time it takes those
 * only while it has less than half of the others' connections. */
static void young_worker_is_not_flooded(void)
{
	struct bed *bed = bed_new();

	start_slowly(bed, 500, 1001);
	client_visit(bed, 40);
	for (unsigned int slot = 0; slot < 4; slot++)
		CHECK_EQ(server_taken(bed, slot), 10);
	set_open(bed, 2, 60);
	client_visit(bed, 40);
	CHECK_EQ(server_taken(bed, 2), 10);
	CHECK_EQ(server_taken(bed, 3), 30); /* the next one of equal load */
	set_age(bed, 2, 1001);
	set_open(bed, 2, 0);
	client_visit(bed, 40);
	CHECK(server_taken(bed, 2) > 35);
}

/* If all are young, as after a start, they share as grown ones do. */
static void all_are_young(void)
{
	struct bed *bed = bed_new();

	start_slowly(bed, 0, 0);
	client_visit(bed, 40);
	CHECK(server_taken(bed, 2) > 25);
}

/* `reuseportd policy` puts another schedule in force: the cursor goes on. */
static void policies_in_turn(void)
{
	struct bed *bed = start(4, 3);
	unsigned int next = 0;

	for (unsigned int round = 0; round < 10; round++) {
		bed->draft.policy = round % 2 ? RPD_ROUND_ROBIN : RPD_LEAST_CONNECTIONS;
		bed_apply(bed);
		for (unsigned int i = 0; i < 6; i++)
			CHECK_EQ(client_visit(bed, 1), next++ % 4);
	}
}

static void thousand_workers(void)
{
	struct bed *bed = start(RPD_SLOT_MAX, 8);

	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		CHECK_EQ(client_visit(bed, 1), i);
}

/* One version left in the ring, and one worker: there is nothing to compare. */
static void only_one(void)
{
	struct bed *bed = start(1, 3);

	set_open(bed, 0, 9);
	CHECK_EQ(client_visit(bed, 20), 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(equal_loads_are_round_robin),
	        CHECK_CASE(least_of_three),
	        CHECK_CASE(as_many_choices_as_asked),
	        CHECK_CASE(load_is_for_the_weight),
	        CHECK_CASE(resets_count_for_some_time),
	        CHECK_CASE(choices_are_different_workers),
	        CHECK_CASE(worker_that_is_not_counted),
	        CHECK_CASE(negative_count_is_none),
	        CHECK_CASE(handshakes_count),
	        CHECK_CASE(versions_and_canary_keep_their_shares),
	        CHECK_CASE(workers_leave),
	        CHECK_CASE(young_worker_is_not_flooded),
	        CHECK_CASE(all_are_young),
	        CHECK_CASE(policies_in_turn),
	        CHECK_CASE(thousand_workers),
	        CHECK_CASE(only_one),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
