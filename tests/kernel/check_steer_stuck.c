/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker that is stuck, or whose queue is full, passes its turns on (check_steer_healthy.c: the
 * others keep them). */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "core/schedule_edit.h"
#include "kern/steer_queues.h"
#include "kern/steer_setup.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/server.h"

#define WORKERS   8
#define STUCK     3
#define MS(n)     ((uint32_t)(((uint64_t)(n)*1000000) >> RPD_TICK_LOG))
#define SOON      MS(5)
#define NOT_EVER  MS(1000000)
#define NO_WORKER UINT32_MAX

static struct bed *start(unsigned int n, uint32_t stuck_after)
{
	struct bed *bed = bed_new();

	bed->draft.stuck_after = stuck_after;
	bed_start(bed, n);
	return bed;
}

static struct rpd_queue queue_of(const struct bed *bed, unsigned int slot)
{
	struct rpd_queue rows[WORKERS];

	CHECK_EQ(steer_queues_read(&bed->steer, 0, WORKERS, rows), 0);
	return rows[slot];
}

static uint64_t taken_turns(const struct bed *bed, unsigned int slot)
{
	return counters_row(bed, slot, RPD_OUTCOME_steered) +
	       counters_row(bed, slot, RPD_OUTCOME_passed_on);
}

static void accept_from(struct bed *bed, unsigned int listener)
{
	for (int fd; (fd = server_accept(bed, listener)) >= 0;)
		close(fd);
}

/* Makes @n connections, which all listeners but @hung accept at once. */
static void connect_and_accept(struct bed *bed, unsigned int n, unsigned int hung)
{
	for (unsigned int i = 0; i < n; i++) {
		const int client = client_hold(bed);

		for (unsigned int at = 0; at < bed->n_listeners; at++)
			if (at != hung && bed->listeners[at].fd >= 0)
				accept_from(bed, at);
		client_reset(client);
	}
}

/* Makes connections until @hung is stuck. It gets one that it does not accept, another one when the
 * program first sees the queue, and possibly more until SOON is over. */
static void hang(struct bed *bed, unsigned int hung)
{
	CHECK(check_until((connect_and_accept(bed, 1, hung), queue_of(bed, hung).is_stuck)));
}

static unsigned int count_events(const struct bed *bed, enum rpd_event_kind kind, unsigned int slot)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < bed->steer.events->head && i < RPD_EVENT_MAX; i++) {
		const struct rpd_event *event = &bed->steer.events->entries[i];

		n += event->kind == kind && event->slot == slot ? event->count : 0;
	}
	return n;
}

static void stuck_worker_passes_its_turns_on(void)
{
	struct bed *bed = start(WORKERS, SOON);
	uint64_t had[WORKERS], passed;

	hang(bed, STUCK);
	passed = queue_of(bed, STUCK).passed[RPD_PASS_stuck];
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		had[slot] = taken_turns(bed, slot);
	connect_and_accept(bed, 100 * WORKERS, STUCK);
	CHECK_EQ(taken_turns(bed, STUCK), had[STUCK]);
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		if (slot != STUCK) /* 100, and an equal part of the 100 of the stuck one */
			CHECK_BETWEEN(taken_turns(bed, slot) - had[slot], 100 + 12, 100 + 17);
	CHECK_EQ(queue_of(bed, STUCK).passed[RPD_PASS_stuck] - passed, 100);
	CHECK_EQ(queue_of(bed, STUCK).passed[RPD_PASS_full], 0);
	CHECK_EQ(bed->steer.control->n_stuck, 1);
	CHECK_EQ(count_events(bed, RPD_EVENT_stuck, STUCK), 1);
	CHECK_EQ(count_events(bed, RPD_EVENT_moving, STUCK), 0);
}

/* As soon as its queue has moved, it has every turn again, and nobody gets more than that. */
static void worker_that_moves_again_has_its_turns(void)
{
	struct bed *bed = start(WORKERS, SOON);
	uint64_t passed;

	hang(bed, STUCK);
	accept_from(bed, STUCK);
	passed = counters_total(bed, RPD_OUTCOME_passed_on);
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		bed->listeners[slot].taken = 0;
	connect_and_accept(bed, 10 * WORKERS, NO_WORKER);
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		CHECK_EQ(server_taken(bed, slot), 10);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_passed_on), passed);
	CHECK_EQ(bed->steer.control->n_stuck, 0);
	CHECK_EQ(count_events(bed, RPD_EVENT_moving, STUCK), 1);
}

/* Two workers get stuck and move again by turns, as a hostile one can. Their bursts are merged, so
 * that other events are kept. */
static void two_unsteady_workers(void)
{
	static const unsigned int unsteady[] = {0, RPD_EVENT_BURSTS}; /* these share a burst */
	struct bed *bed = start(WORKERS, 1);

	for (unsigned int i = 0; i < 20; i++) {
		const unsigned int at = unsteady[i % 2];

		hang(bed, at);
		accept_from(bed, at);
		CHECK(check_until(
		        (connect_and_accept(bed, 1, NO_WORKER), !queue_of(bed, at).is_stuck)));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(unsteady); i++)
		CHECK_EQ(count_events(bed, RPD_EVENT_stuck, unsteady[i]), 10);
	CHECK(bed->steer.events->head < 20); /* not 40 */
}

/* A SYN that the kernel drops after the program has run, because the queue is full. */
static void send_dropped_syn(const struct bed *bed)
{
	const union socket_address to = client_target(bed, 0, AF_INET);
	const uint64_t before = counters_sum(bed);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(connect(fd, &to.sa, sizeof(to)) < 0 && errno == EINPROGRESS);
	CHECK_UNTIL(counters_sum(bed) > before);
	close(fd);
}

/* Each time the program looks, another connection is the first of the queue, though it is in the
 * memory of the one before. SOON passes between two looks. */
static void same_memory_is_another_connection(void)
{
	struct bed *bed = start(1, SOON);

	CHECK_EQ(listen(bed->listeners[0].fd, 0), 0); /* for one connection */
	for (unsigned int i = 0; i < 20; i++) {
		const int client = client_hold(bed);
		const int64_t until = deadline_clock_ms() + 8;

		send_dropped_syn(bed);
		CHECK_EQ(queue_of(bed, 0).is_stuck, 0);
		close(server_accept(bed, 0));
		client_reset(client);
		CHECK_UNTIL(deadline_clock_ms() > until);
	}
	CHECK_EQ(count_events(bed, RPD_EVENT_stuck, 0), 0);
}

static void turns_stand_if_all_are_stuck(void)
{
	struct bed *bed = start(WORKERS, SOON);
	uint64_t had[WORKERS], passed;

	CHECK(check_until((client_hold(bed), bed->steer.control->n_stuck == WORKERS)));
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		had[slot] = taken_turns(bed, slot);
	passed = counters_total(bed, RPD_OUTCOME_passed_on);
	for (unsigned int i = 0; i < 10 * WORKERS; i++)
		client_hold(bed);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_passed_on), passed);
	for (unsigned int slot = 0; slot < WORKERS; slot++) {
		CHECK_EQ(taken_turns(bed, slot) - had[slot], 10);
		accept_from(bed, slot);
		CHECK_EQ(server_taken(bed, slot), taken_turns(bed, slot));
	}
}

/* With a backlog of 1 the kernel drops a SYN if two connections wait. */
static void full_queue_passes_its_turns_on(void)
{
	struct bed *bed = start(2, NOT_EVER);
	int clients[10];

	CHECK_EQ(listen(bed->listeners[1].fd, 1), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_hold(bed);
	CHECK_EQ(taken_turns(bed, 1), 2);
	CHECK_EQ(taken_turns(bed, 0), 8);
	CHECK_EQ(queue_of(bed, 1).passed[RPD_PASS_full], 3);
	CHECK_EQ(queue_of(bed, 1).passed[RPD_PASS_stuck], 0);
	CHECK_EQ(bed->steer.control->n_stuck, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

static void off_by_default(void)
{
	struct bed *bed = start(2, 0);
	int clients[20];

	CHECK_EQ(listen(bed->listeners[1].fd, 20), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_hold(bed);
	CHECK_EQ(taken_turns(bed, 1), 10);
	CHECK_EQ(queue_of(bed, 1).seen, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
}

/* The turns of the stuck worker go to its own version only. */
static void versions_keep_their_shares(void)
{
	struct bed *bed = bed_new();
	uint64_t had = 0, has = 0;

	bed->draft.stuck_after = SOON;
	bed_start_versions(bed, 4, "blue", "green");
	hang(bed, STUCK);
	for (unsigned int slot = 4; slot < WORKERS; slot++)
		had += taken_turns(bed, slot);
	connect_and_accept(bed, 800, STUCK);
	for (unsigned int slot = 4; slot < WORKERS; slot++)
		has += taken_turns(bed, slot);
	CHECK_EQ(has - had, 400);
}

/* A canary of the same version keeps its share, too. */
static void canary_keeps_its_share(void)
{
	struct bed *bed = bed_new();
	const struct slots canary = {.n = 1, .at = {7}};
	struct error err;
	uint64_t had;

	bed->draft.stuck_after = SOON;
	bed_start(bed, WORKERS);
	CHECK_EQ(schedule_edit_set_canary(&bed->draft, &canary, 50, &err), 0);
	bed_apply(bed);
	hang(bed, STUCK);
	had = taken_turns(bed, 7);
	connect_and_accept(bed, 1000, STUCK);
	CHECK_EQ(taken_turns(bed, 7) - had, 50);
}

/* Workers leave while another one is stuck: no connection fails. */
static void workers_leave_while_one_is_stuck(void)
{
	struct bed *bed = start(WORKERS, SOON);

	hang(bed, STUCK);
	for (unsigned int slot = WORKERS - 1; slot > STUCK; slot--) {
		bed_close(bed, slot);
		connect_and_accept(bed, 100, STUCK);
	}
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_dropped), 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_fell_back), 0);
}

/* Listeners close and others open, 500 times, while one worker is stuck. No address of a listener
 * is kept: a foreign listener, which may get the memory of one that has closed, gets no connection.
 */
static void listeners_come_and_go(void)
{
	struct bed *bed = start(WORKERS, SOON);
	unsigned int listener = 0, foreign;

	hang(bed, STUCK);
	for (unsigned int round = 0; round < 500; round++) {
		foreign = bed_listen(bed, 0);
		bed_close(bed, listener); /* that of slot 0 */
		connect_and_accept(bed, WORKERS, STUCK);
		CHECK_EQ(server_taken(bed, foreign), 0);
		bed_admit(bed, foreign, 0, RPD_FIRST_LABEL);
		listener = foreign;
	}
	CHECK_EQ(queue_of(bed, STUCK).is_stuck, 1);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_dropped), 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_fell_back), 0);
}

/* The next listener in the slot is not stuck, whatever its predecessor was. */
static void next_listener_is_not_stuck(void)
{
	struct bed *bed = start(WORKERS, SOON);
	uint64_t had;

	hang(bed, STUCK);
	bed_close(bed, STUCK);
	bed_admit(bed, bed_listen(bed, 0), STUCK, RPD_FIRST_LABEL);
	bed_apply(bed);
	had = taken_turns(bed, STUCK);
	connect_and_accept(bed, 10 * WORKERS, NO_WORKER);
	CHECK_EQ(taken_turns(bed, STUCK) - had, 10);
	CHECK_EQ(bed->steer.control->n_stuck, 0);
}

/* A stuck worker that leaves the ring, or whose endpoint goes, has no turn in which the program
 * would see that it is not stuck any more. */
static void worker_out_of_the_ring_is_forgotten(void)
{
	struct bed *bed = start(2, SOON);
	uint64_t passed;

	CHECK(check_until((client_hold(bed), bed->steer.control->n_stuck == 2)));
	passed = queue_of(bed, 1).passed[RPD_PASS_stuck];
	bed_set_state(bed, 1, RPD_SLOT_DRAINING);
	steer_queues_forget_out_of_ring(&bed->steer);
	CHECK_EQ(bed->steer.control->n_stuck, 1);
	CHECK_EQ(queue_of(bed, 0).is_stuck, 1);
	CHECK_EQ(queue_of(bed, 1).is_stuck, 0);
	CHECK_EQ(queue_of(bed, 1).passed[RPD_PASS_stuck], passed);
	bed_set_state(bed, 1, RPD_SLOT_ACTIVE);
	CHECK(check_until((client_hold(bed), bed->steer.control->n_stuck == 2)));
	steer_setup_remove_endpoint(&bed->steer, &bed->pins, 0);
	CHECK_EQ(bed->steer.control->n_stuck, 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(stuck_worker_passes_its_turns_on),
	        CHECK_CASE(worker_that_moves_again_has_its_turns),
	        CHECK_CASE(two_unsteady_workers),
	        CHECK_CASE(same_memory_is_another_connection),
	        CHECK_CASE(turns_stand_if_all_are_stuck),
	        CHECK_CASE(full_queue_passes_its_turns_on),
	        CHECK_CASE(off_by_default),
	        CHECK_CASE(versions_keep_their_shares),
	        CHECK_CASE(canary_keeps_its_share),
	        CHECK_CASE(workers_leave_while_one_is_stuck),
	        CHECK_CASE(listeners_come_and_go),
	        CHECK_CASE(next_listener_is_not_stuck),
	        CHECK_CASE(worker_out_of_the_ring_is_forgotten),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
