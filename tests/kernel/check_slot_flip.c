/* SPDX-License-Identifier: BSD-2-Clause */
/* service/slot_flip: all slots of a service change their workers on all endpoints in one store,
 * back again, and with a canary share; a flip that fails or is killed changes nothing. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/run_client.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "core/schedule_version.h"
#include "kern/steer_counters.h"
#include "kern/steer_members.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/observe.h"
#include "service/slot_flip.h"

#define SLOTS     8
#define ENDPOINTS 2
#define ALL       ((1u << ENDPOINTS) - 1)
#define THREADS   4
#define FLIPS     6
#define LOG_MAX   65536

enum { OLD, NEW, SIDES };
static const char *const labels[SIDES] = {"v1", "v2"};

static struct run_worker workers[SIDES][SLOTS];

/* Flips all slots to one side. */
static int flip_to(unsigned int side, const struct slots *canaries, unsigned int permille,
                   struct error *err)
{
	struct slot_flip_change changes[SLOTS];

	for (unsigned int slot = 0; slot < SLOTS; slot++)
		changes[slot] = (struct slot_flip_change){slot, &workers[side][slot].newcomer,
		                                          labels[side]};
	return slot_flip(&run_service, changes, SLOTS, canaries, permille, "test", err);
}

static void flip(unsigned int side)
{
	struct error err;

	CHECK_MSG(flip_to(side, NULL, 0, &err) == 0, "%s", err.text);
}

static uint64_t cookie_in(unsigned int endpoint, unsigned int slot)
{
	return steer_socks_cookie(&run_service.steer, endpoint, slot);
}

/* Starts two sides of workers on two endpoints; the old side is in the slots. */
static void begin(void)
{
	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET6, true, RUN_SERVICE_PORT + 1, 0);
	for (unsigned int side = 0; side < SIDES; side++)
		for (unsigned int slot = 0; slot < SLOTS; slot++)
			run_worker_start(ALL, &workers[side][slot]);
	flip(OLD);
}

static int side_of(pid_t pid, unsigned int *ret_slot)
{
	for (unsigned int side = 0; side < SIDES; side++)
		for (unsigned int slot = 0; slot < SLOTS; slot++)
			if (workers[side][slot].pid == pid) {
				*ret_slot = slot;
				return (int)side;
			}
	return -1;
}

static uint64_t steered(unsigned int slot)
{
	static struct counters rows[RPD_ROW_MAX];
	struct error err;

	CHECK_EQ(steer_counters_read(&run_service.steer, rows, &err), 0);
	return rows[slot].of[RPD_OUTCOME_steered];
}

/* Makes @turns connections to each slot, to the endpoints in turn: each is of this side. */
static void expect_side(unsigned int side, unsigned int turns)
{
	unsigned int got[SLOTS] = {}, slot;
	uint64_t before[SLOTS];

	for (slot = 0; slot < SLOTS; slot++)
		before[slot] = steered(slot);
	for (unsigned int i = 0; i < turns * SLOTS; i++) {
		CHECK_EQ(side_of(run_client_visit(i / SLOTS % ENDPOINTS), &slot), side);
		got[slot]++;
	}
	for (slot = 0; slot < SLOTS; slot++) {
		CHECK_EQ(got[slot], turns);
		CHECK_EQ(steered(slot) - before[slot], turns);
		for (unsigned int e = 0; e < ENDPOINTS; e++)
			CHECK_EQ(cookie_in(e, slot), workers[side][slot].listeners[e].cookie);
	}
}

/* --- under load */

struct visit {
	int64_t begin; /* before the SYN */
	int64_t end;   /* after the handshake */
	pid_t pid;     /* of the worker, or a negative errno */
};

struct client {
	pthread_t thread;
	struct visit *log;
	unsigned int n;
};

static struct client clients[THREADS];
static atomic_bool stop;
static atomic_uint done;

static void *client_run(void *data)
{
	struct client *client = data;

	while (!stop && client->n < LOG_MAX) {
		struct visit *it = &client->log[client->n];
		int fd;

		it->begin = clock_ns(CLOCK_MONOTONIC);
		fd = run_client_connect(run_service_endpoint(client->n % ENDPOINTS));
		it->end = clock_ns(CLOCK_MONOTONIC);
		if (fd < 0 || send(fd, "x\n", 2, MSG_NOSIGNAL) != 2 ||
		    run_client_answer(fd, &it->pid) != 2)
			it->pid = fd < 0 ? fd : -EPIPE;
		client->n++;
		done++;
	}
	return NULL;
}

static void clients_end(void)
{
	stop = true;
	for (unsigned int i = 0; i < THREADS; i++)
		if (clients[i].thread)
			pthread_join(clients[i].thread, NULL);
	for (unsigned int i = 0; i < THREADS; i++)
		clients[i].thread = 0;
}

static void clients_free(void)
{
	clients_end();
	for (unsigned int i = 0; i < THREADS; i++)
		free(clients[i].log);
	memset(clients, 0, sizeof(clients));
}

static void clients_start(void)
{
	stop = false;
	done = 0;
	check_at_end(clients_free);
	for (unsigned int i = 0; i < THREADS; i++) {
		clients[i].log = calloc(LOG_MAX, sizeof(*clients[i].log));
		CHECK(clients[i].log);
		CHECK_EQ(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
	}
}

static void wait_for_more(unsigned int n)
{
	const unsigned int enough = done + n;

	CHECK_UNTIL(done >= enough);
}

/* In the order of their SYNs: from the first connection of @side on that has begun after @from, all
 * that began up to @to are of that side. Returns how many there are. */
static unsigned int expect_order(int side, int64_t from, int64_t to)
{
	int64_t first = INT64_MAX;
	unsigned int n = 0, slot;

	for (unsigned int i = 0; i < THREADS; i++)
		for (const struct visit *it = clients[i].log; it < clients[i].log + clients[i].n;
		     it++)
			if (it->begin > from && it->begin < to && it->end < first &&
			    side_of(it->pid, &slot) == side)
				first = it->end;
	for (unsigned int i = 0; i < THREADS; i++)
		for (const struct visit *it = clients[i].log; it < clients[i].log + clients[i].n;
		     it++) {
			if (it->begin <= first || it->end >= to)
				continue;
			CHECK_MSG(side_of(it->pid, &slot) == side,
			          "pid %d got a connection %lld ns after the first of side %d",
			          it->pid, (long long)(it->begin - first), side);
			n++;
		}
	return n;
}

/* Each slot has as many connections as the others, whichever worker it had. */
static void expect_even(void)
{
	unsigned int per_slot[SLOTS] = {}, total = 0, slot;

	for (unsigned int i = 0; i < THREADS; i++)
		for (const struct visit *it = clients[i].log; it < clients[i].log + clients[i].n;
		     it++) {
			CHECK_MSG(side_of(it->pid, &slot) >= 0, "a connection failed: %s",
			          strerror(-it->pid));
			per_slot[slot]++;
			total++;
		}
	for (slot = 0; slot < SLOTS; slot++) {
		CHECK_BETWEEN(per_slot[slot], total / SLOTS, (total + SLOTS - 1) / SLOTS);
		CHECK_EQ(steered(slot), per_slot[slot]);
	}
}

static void all_slots_at_once(void)
{
	int64_t begun[FLIPS + 1], ended[FLIPS + 1];
	unsigned int n;

	begin();
	clients_start();
	ended[0] = clock_ns(CLOCK_MONOTONIC);
	for (n = 1; n <= FLIPS; n++) {
		wait_for_more(200);
		begun[n] = clock_ns(CLOCK_MONOTONIC);
		flip(n % SIDES);
		ended[n] = clock_ns(CLOCK_MONOTONIC);
	}
	wait_for_more(200);
	clients_end();
	for (n = 1; n <= FLIPS; n++)
		CHECK(expect_order(n % SIDES, ended[n - 1], n < FLIPS ? begun[n + 1] : INT64_MAX) >
		      100);
	expect_even();
}

/* --- in detail */

static void there_and_back(void)
{
	begin();
	expect_side(OLD, 2);
	flip(NEW);
	expect_side(NEW, 2);
	CHECK(schedule_version_find(steer_schedule(&run_service.steer), labels[OLD]) < 0);
	flip(OLD);
	expect_side(OLD, 2);
	/* Without a listener in an idle cell. */
	CHECK_EQ(run_service.steer.service->flags & RPD_SERVICE_FLIP, 0);
	flip(NEW);
	expect_side(NEW, 2);
}

/* The listeners of former workers keep their version: their queues migrate to it. */
static void former_workers_keep_their_version(void)
{
	struct slot_flip_change change = {0, &workers[NEW][0].newcomer, "v2"};
	struct rpd_member member;
	struct error err;

	begin();
	CHECK_EQ(slot_flip(&run_service, &change, 1, NULL, 0, "test", &err), 0);
	for (unsigned int e = 0; e < ENDPOINTS; e++) {
		const struct rpd_schedule *s = steer_schedule(&run_service.steer);

		CHECK_EQ(steer_members_get(&run_service.steer, workers[OLD][0].listeners[e].cookie,
		                           &member),
		         0);
		CHECK_EQ(member.version, schedule_version_find(s, "v1"));
		CHECK_EQ(steer_members_get(&run_service.steer, workers[NEW][0].listeners[e].cookie,
		                           &member),
		         0);
		CHECK_EQ(member.version, schedule_version_find(s, "v2"));
		CHECK_EQ(member.account, s->slots[0].generation * RPD_SLOT_MAX);
	}
}

/* Makes one turn of the ring. Returns how many connections went to the new side. */
static unsigned int count_new(void)
{
	unsigned int n = 0, slot;

	for (unsigned int i = 0; i < steer_schedule(&run_service.steer)->ring_len; i++)
		n += side_of(run_client_visit(i % ENDPOINTS), &slot) == NEW;
	return n;
}

/* Two of eight slots get a new worker and 5 % in one step, then 25 %; the next step is all slots
 * without canaries; the last one is back. */
static void canary_share(void)
{
	const struct slots canaries = {.n = 2, .at = {3, 5}}, none = {};
	struct slot_flip_change changes[2];
	struct error err;
	unsigned int n;

	begin();
	for (unsigned int i = 0; i < 2; i++)
		changes[i] = (struct slot_flip_change){
		        canaries.at[i], &workers[NEW][canaries.at[i]].newcomer, "v2"};
	CHECK_MSG(slot_flip(&run_service, changes, 2, &canaries, 50, "test", &err) == 0, "%s",
	          err.text);
	n = steer_schedule(&run_service.steer)->ring_len;
	CHECK_EQ(count_new() * 1000, n * 50);
	CHECK_MSG(slot_flip(&run_service, NULL, 0, &canaries, 250, "test", &err) == 0, "%s",
	          err.text);
	n = steer_schedule(&run_service.steer)->ring_len;
	CHECK_EQ(count_new() * 1000, n * 250);
	/* Another worker in the slot of a canary leaves the share as it is. */
	changes[0].newcomer = &workers[NEW][0].newcomer;
	CHECK_EQ(slot_flip(&run_service, changes, 1, NULL, 0, "test", &err), 0);
	CHECK_EQ(count_new() * 1000, steer_schedule(&run_service.steer)->ring_len * 250);
	/* All slots would be canaries. */
	CHECK_EQ(flip_to(NEW, &(struct slots){.n = SLOTS, .at = {0, 1, 2, 3, 4, 5, 6, 7}}, 250,
	                 &err),
	         -EBUSY);
	CHECK_EQ(steer_schedule(&run_service.steer)->canary_permille, 250);
	changes[0].newcomer = &workers[NEW][3].newcomer;
	CHECK_EQ(slot_flip(&run_service, changes, 1, NULL, 0, "test", &err), 0);
	CHECK_EQ(count_new() * 1000, steer_schedule(&run_service.steer)->ring_len * 250);
	for (unsigned int i = 0; i < 2; i++)
		changes[i] = (struct slot_flip_change){
		        canaries.at[i], &workers[OLD][canaries.at[i]].newcomer, "v1"};
	CHECK_EQ(slot_flip(&run_service, changes, 2, &none, 0, "test", &err), 0);
	expect_side(OLD, 2);
}

/* --- failures */

static void one_newcomer_fails(void)
{
	const struct listener *right = &workers[NEW][SLOTS - 1].listeners[1];
	struct rpd_schedule before;
	struct rpd_member member;
	struct error err;

	begin();
	before = *steer_schedule(&run_service.steer);
	/* The last listener of the last newcomer is in a slot already. */
	workers[NEW][SLOTS - 1].newcomer = workers[OLD][0].newcomer;
	CHECK_EQ(flip_to(NEW, NULL, 0, &err), -EBUSY);
	CHECK(!memcmp(&before, steer_schedule(&run_service.steer), sizeof(before)));
	CHECK_EQ(
	        steer_members_get(&run_service.steer, workers[NEW][0].listeners[0].cookie, &member),
	        -ENOENT);
	CHECK_EQ(
	        steer_members_get(&run_service.steer, workers[OLD][0].listeners[0].cookie, &member),
	        0);
	CHECK_EQ(member.slot, 0);
	expect_side(OLD, 2);
	run_worker_start(ALL, &workers[NEW][SLOTS - 1]);
	CHECK(right->cookie);
	flip(NEW);
	expect_side(NEW, 2);
}

/* Puts all of a side into the idle cells. */
static void prepare(unsigned int side, struct rpd_schedule *ret)
{
	_cleanup_observed_ struct observed o = {};
	struct error err;

	CHECK_MSG(observe(&run_service, OBSERVE_KNOWN, &o, &err) == 0, "%s", err.text);
	*ret = *steer_schedule(&run_service.steer);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		CHECK_MSG(admit(&run_service, &o, slot, &workers[side][slot].newcomer, ret, &err) ==
		                  0,
		          "%s", err.text);
	schedule_build(ret);
}

/* How many listeners were in a slot before. */
static unsigned int count_former(void)
{
	_cleanup_observed_ struct observed o = {};
	struct error err;
	unsigned int n = 0;

	CHECK_MSG(observe(&run_service, OBSERVE_KNOWN, &o, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < o.n_foreign; i++)
		n += o.foreign[i].former;
	return n;
}

/* A command was killed before the store, and one after it. What follows puts the side that is not
 * in force into the slots: no listener was left in an idle cell. */
static void killed_flip(void)
{
	struct rpd_schedule draft;
	struct rpd_worker row;

	begin();
	prepare(NEW, &draft);
	expect_side(OLD, 2);
	run_service_reopen();
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
	CHECK_EQ(row.pid, workers[OLD][0].pid);
	expect_side(OLD, 2);
	CHECK_EQ(count_former(), 0);
	flip(NEW);
	expect_side(NEW, 2);
	CHECK_EQ(count_former(), SLOTS * ENDPOINTS);
	prepare(OLD, &draft);
	steer_switch(&run_service.steer, &draft);
	expect_side(OLD, 2);
	run_service_reopen();
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
	CHECK_EQ(row.pid, workers[OLD][0].pid);
	expect_side(OLD, 2);
	CHECK_EQ(count_former(), SLOTS * ENDPOINTS);
	flip(NEW);
	expect_side(NEW, 2);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(all_slots_at_once),
	        CHECK_CASE(there_and_back),
	        CHECK_CASE(former_workers_keep_their_version),
	        CHECK_CASE(canary_share),
	        CHECK_CASE(one_newcomer_fails),
	        CHECK_CASE(killed_flip),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
