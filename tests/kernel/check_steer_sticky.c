/* SPDX-License-Identifier: BSD-2-Clause */
/* A client keeps its worker, over all ports, families and kinds of packets, and when other workers
 * leave. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/host.h"

#define WORKERS 8
#define CLIENTS 500

/* The @i-th of many clients: 127.2.0.0/16, far from each other. */
static union socket_address client_v4(unsigned int i)
{
	return socket_address_v4(0x7f020000u + (i * 131 & 0xffff));
}

static union socket_address client_v6(unsigned int i)
{
	struct in6_addr a;

	inet_pton(AF_INET6, "fd00:7::", &a);
	a.s6_addr[13] = (uint8_t)(i >> 8);
	a.s6_addr[15] = (uint8_t)i;
	host_add_address(&a);
	return socket_address_v6(&a);
}

static void make_sticky(struct bed *bed)
{
	bed->draft.policy = RPD_STICKY;
	bed_start(bed, WORKERS);
}

/* Returns the worker of each client. */
static void look(struct bed *bed, unsigned int slots[CLIENTS])
{
	for (unsigned int i = 0; i < CLIENTS; i++) {
		const union socket_address from = client_v4(i);

		slots[i] = client_visit_from(bed, 0, AF_INET, &from);
	}
}

/* Every worker has its share of the clients, within five standard deviations. */
static void expect_spread(const unsigned int *slots, unsigned int n)
{
	for (unsigned int slot = 0; slot < WORKERS; slot++) {
		unsigned int clients = 0;

		for (unsigned int i = 0; i < n; i++)
			clients += slots[i] == slot;
		CHECK_BETWEEN(clients, n / WORKERS / 2, n / WORKERS * 3 / 2);
	}
}

static void client_keeps_its_worker(void)
{
	struct bed *bed = bed_new();

	make_sticky(bed);
	for (unsigned int i = 0; i < 20; i++) {
		const union socket_address from = client_v4(i);
		const unsigned int slot = client_visit_from(bed, 0, AF_INET, &from);

		for (unsigned int round = 0; round < 100; round++)
			CHECK_EQ(client_visit_from(bed, 0, AF_INET, &from), slot);
	}
	CHECK_EQ(counters_sum(bed), 20 * 101);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), 20 * 101);
}

static void clients_are_spread(void)
{
	struct bed *bed = bed_new();
	unsigned int slots[CLIENTS];

	make_sticky(bed);
	look(bed, slots);
	expect_spread(slots, CLIENTS);
}

static void clients_are_spread_v6(void)
{
	struct bed *bed = bed_new();
	unsigned int slots[CLIENTS];

	bed->draft.policy = RPD_STICKY;
	bed_endpoint(bed, AF_INET6, false);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		const union socket_address from = client_v6(i);

		slots[i] = client_visit_from(bed, 0, AF_INET6, &from);
		CHECK_EQ(client_visit_from(bed, 0, AF_INET6, &from), slots[i]);
	}
	expect_spread(slots, CLIENTS);
}

/* A client gets the same worker on all endpoints: 0.0.0.0, another port, and ::, which IPv4 clients
 * may use. */
static void same_worker_on_all_endpoints(void)
{
	struct bed *bed = bed_new();

	bed->draft.policy = RPD_STICKY;
	bed_endpoint(bed, AF_INET, false);
	bed_endpoint(bed, AF_INET, false);
	bed_endpoint(bed, AF_INET6, false);
	for (unsigned int e = 0; e < 3; e++)
		bed_workers(bed, e, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	for (unsigned int e = 0; e < 3; e++)
		bed_attach(bed, e);
	for (unsigned int i = 0; i < 100; i++) {
		const union socket_address from = client_v4(i);
		const unsigned int slot = client_visit_from(bed, 0, AF_INET, &from);

		CHECK_EQ(client_visit_from(bed, 1, AF_INET, &from), WORKERS + slot);
		CHECK_EQ(client_visit_from(bed, 2, AF_INET, &from), 2 * WORKERS + slot);
	}
}

/* The ACK of a SYN cookie goes where the SYN went. */
static void syn_cookies_go_with_their_syn(void)
{
	struct bed *bed = bed_new();
	unsigned int before[CLIENTS], after[CLIENTS];

	make_sticky(bed);
	look(bed, before);
	host_sysctl("ipv4/tcp_syncookies", 2);
	look(bed, after);
	for (unsigned int i = 0; i < CLIENTS; i++)
		CHECK_EQ(after[i], before[i]);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_cookie_ack), CLIENTS);
}

static void drain_moves_only_its_clients(void)
{
	struct bed *bed = bed_new();
	unsigned int before[CLIENTS], drained[CLIENTS], resumed[CLIENTS];

	make_sticky(bed);
	look(bed, before);
	bed_set_state(bed, 3, RPD_SLOT_DRAINING);
	look(bed, drained);
	bed_set_state(bed, 3, RPD_SLOT_ACTIVE);
	look(bed, resumed);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		CHECK(before[i] == 3 ? drained[i] != 3 : drained[i] == before[i]);
		CHECK_EQ(resumed[i], before[i]);
	}
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_slot_gone), 0);
}

/* Each client of a dead worker gets another worker, which it keeps. These are not all the same
 * worker. */
static void clients_of_a_dead_worker(void)
{
	struct bed *bed = bed_new();
	unsigned int before[CLIENTS], first[CLIENTS], again[CLIENTS];
	unsigned int orphans = 0, heirs[WORKERS] = {};

	make_sticky(bed);
	look(bed, before);
	bed_close(bed, 3);
	look(bed, first);
	look(bed, again);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		CHECK_EQ(again[i], first[i]);
		if (before[i] != 3) {
			CHECK_EQ(first[i], before[i]);
		} else {
			orphans++;
			heirs[first[i]]++;
		}
	}
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		CHECK_BETWEEN(heirs[slot], slot != 3, slot == 3 ? 0 : orphans / 2);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_slot_gone), 2 * orphans);
}

/* A listener that replaces another in its slot gets its clients. */
static void swapped_listener_keeps_clients(void)
{
	struct bed *bed = bed_new();
	unsigned int before[CLIENTS], after[CLIENTS], next;

	make_sticky(bed);
	look(bed, before);
	next = bed_listen(bed, 0);
	bed_admit(bed, next, 3, RPD_FIRST_LABEL);
	look(bed, after);
	for (unsigned int i = 0; i < CLIENTS; i++)
		CHECK_EQ(after[i], before[i] == 3 ? next : before[i]);
}

/* The cursor stands still under the sticky policy, so that round robin continues where it was. */
static void cursor_stands_still_while_sticky(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	CHECK_EQ(client_visit(bed, 3), 2);
	bed->draft.policy = RPD_STICKY;
	bed_apply(bed);
	client_visit(bed, 50);
	CHECK_EQ(bed->steer.control->cursor, 3);
	bed->draft.policy = RPD_ROUND_ROBIN;
	bed_apply(bed);
	CHECK_EQ(client_visit(bed, 1), 3);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(client_keeps_its_worker),
	        CHECK_CASE(clients_are_spread),
	        CHECK_CASE(clients_are_spread_v6),
	        CHECK_CASE(same_worker_on_all_endpoints),
	        CHECK_CASE(syn_cookies_go_with_their_syn),
	        CHECK_CASE(drain_moves_only_its_clients),
	        CHECK_CASE(clients_of_a_dead_worker),
	        CHECK_CASE(swapped_listener_keeps_clients),
	        CHECK_CASE(cursor_stands_still_while_sticky),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
