/* SPDX-License-Identifier: BSD-2-Clause */
/* Round robin is exact, for all clients, addresses and families. */
#include <sys/socket.h>

#include "base/cleanup.h"
#include "core/schedule_edit.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/host.h"
#include "steering/load.h"
#include "steering/server.h"

#define WORKERS 8

/* Each of the workers in slots 0 .. @n - 1 got @each connections, over all endpoints. */
static void expect_taken(const struct bed *bed, unsigned int n, unsigned int each)
{
	for (unsigned int slot = 0; slot < n; slot++) {
		unsigned int taken = 0;

		for (unsigned int i = slot; i < bed->n_listeners; i += n)
			taken += server_taken(bed, i);
		CHECK_EQ(taken, each);
		CHECK_EQ(counters_row(bed, slot, RPD_OUTCOME_steered), each);
	}
}

static void held_connections(void)
{
	struct bed *bed = bed_new();
	int clients[WORKERS];

	bed_start(bed, WORKERS);
	for (unsigned int round = 1; round <= 50; round++) {
		for (unsigned int i = 0; i < WORKERS; i++)
			clients[i] = client_hold(bed);
		server_collect(bed, WORKERS);
		expect_taken(bed, WORKERS, round);
		for (unsigned int i = 0; i < WORKERS; i++)
			client_reset(clients[i]);
	}
}

/* The order of the workers never changes, which is stronger than equal numbers. */
static void order_never_changes(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	for (unsigned int i = 0; i < 8000; i++)
		CHECK_EQ(client_visit(bed, 1), i % WORKERS);
	expect_taken(bed, WORKERS, 1000);
	CHECK_EQ(counters_sum(bed), 8000);
}

static void threads_at_once(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	CHECK_EQ(load_run(bed, LOAD_V4(2000)), 8000);
	expect_taken(bed, WORKERS, 1000);
	CHECK_EQ(counters_sum(bed), 8000);
}

static void ipv6(void)
{
	struct bed *bed = bed_new();

	bed_endpoint(bed, AF_INET6, true);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	for (unsigned int i = 0; i < 800; i++)
		CHECK_EQ(client_visit_from(bed, 0, AF_INET6, NULL), i % WORKERS);
	load_run(bed, &(struct load_plan){.threads = 4, .each = 200, .v6 = true});
	expect_taken(bed, WORKERS, 200);
}

/* Two endpoints with the same workers: listeners 0 to 7 are IPv4, 8 to 15 IPv6. */
static void make_both(struct bed *bed)
{
	bed_endpoint(bed, AF_INET, false);
	bed_endpoint(bed, AF_INET6, true);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_workers(bed, 1, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	bed_attach(bed, 1);
}

static void two_endpoints_in_turn(void)
{
	struct bed *bed = bed_new();

	make_both(bed);
	for (unsigned int i = 0; i < 1600; i += 2) {
		CHECK_EQ(client_visit_from(bed, 0, AF_INET, NULL), i % WORKERS);
		CHECK_EQ(client_visit_from(bed, 1, AF_INET6, NULL), WORKERS + (i + 1) % WORKERS);
	}
	expect_taken(bed, WORKERS, 200);
}

static void two_endpoints_at_random(void)
{
	struct bed *bed = bed_new();
	const struct load_plan plan = {
	        .threads = 4, .each = 2000, .v4 = true, .v6 = true, .v6_endpoint = 1};

	make_both(bed);
	load_run(bed, &plan);
	expect_taken(bed, WORKERS, 1000);
	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		CHECK_BETWEEN(server_taken(bed, i), 300, 700);
}

static void dual_stack(void)
{
	struct bed *bed = bed_new();
	const struct load_plan plan = {.threads = 4, .each = 200, .v4 = true, .v6 = true};

	bed_endpoint(bed, AF_INET6, false);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	for (unsigned int i = 0; i < 800; i++)
		CHECK_EQ(client_visit_from(bed, 0, i % 3 ? AF_INET : AF_INET6, NULL), i % WORKERS);
	load_run(bed, &plan);
	expect_taken(bed, WORKERS, 200);
}

/* A SYN may have ECN bits. */
static void syn_with_ecn_bits(void)
{
	struct bed *bed = bed_new();

	host_sysctl("ipv4/tcp_ecn", 1);
	bed_start(bed, WORKERS);
	client_visit(bed, 80);
	host_sysctl("ipv4/tcp_ecn", 2);
	expect_taken(bed, WORKERS, 10);
}

/* The program also covers listeners that join the group after it was attached. */
static void worker_added_later(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, 2);
	bed_workers(bed, 0, 2, 2, RPD_FIRST_LABEL);
	client_visit(bed, 40);
	CHECK_EQ(server_taken(bed, 2) + server_taken(bed, 3), 0); /* in no ring yet */
	bed_apply(bed);
	client_visit(bed, 40);
	CHECK_EQ(server_taken(bed, 2), 10);
	CHECK_EQ(server_taken(bed, 3), 10);
}

static void set_weight(struct bed *bed, unsigned int slot, long weight)
{
	struct error err;

	CHECK_EQ(schedule_edit_set_weight(&bed->draft, &(struct slots){.n = 1, .at = {slot}},
	                                  weight, &err),
	         0);
}

static void weights(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, 4);
	set_weight(bed, 0, 1);
	set_weight(bed, 1, 2);
	set_weight(bed, 2, 5);
	set_weight(bed, 3, 0);
	bed_apply(bed);
	client_visit(bed, 800);
	load_run(bed, LOAD_V4(200));
	CHECK_EQ(server_taken(bed, 0), 200);
	CHECK_EQ(server_taken(bed, 1), 400);
	CHECK_EQ(server_taken(bed, 2), 1000);
	CHECK_EQ(server_taken(bed, 3), 0);
}

/* Slot 0 is the canary of @n workers: it gets exactly @permille of 3,000 connections, and one of
 * any @gap in a row. */
static void canary(struct bed *bed, unsigned int n, unsigned int permille, unsigned int gap)
{
	const struct slots slots = {.n = 1, .at = {0}};
	unsigned int since = 0;
	struct error err;

	bed_start(bed, n);
	CHECK_EQ(schedule_edit_set_canary(&bed->draft, &slots, permille, &err), 0);
	bed_apply(bed);
	for (unsigned int i = 0; i < 3000; i++) {
		since = client_visit(bed, 1) == 0 ? 0 : since + 1;
		CHECK_BETWEEN(since, 0, gap - 1);
	}
	CHECK_EQ(server_taken(bed, 0), 3 * permille);
	for (unsigned int i = 1; i < n; i++)
		CHECK_BETWEEN(server_taken(bed, i), (3000 - 3 * permille) / (n - 1),
		              (3000 - 3 * permille + n - 2) / (n - 1));
}

static void canary_one_in_thousand(void)
{
	canary(bed_new(), 4, 1, 1000);
}

static void canary_one_percent(void)
{
	canary(bed_new(), 4, 10, 100);
}

static void canary_five_percent(void)
{
	canary(bed_new(), 4, 50, 21);
}

static void canary_five_percent_of_eight(void)
{
	canary(bed_new(), 8, 50, 21);
}

static void canary_third(void)
{
	canary(bed_new(), 4, 333, 4);
}

/* The largest number of slots, on all CPUs. */
static void thousand_workers(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, RPD_SLOT_MAX);
	for (unsigned int i = 0; i < RPD_SLOT_MAX; i++)
		CHECK_EQ(client_visit(bed, 1), i);
	load_run(bed, LOAD_V4(RPD_SLOT_MAX / 4));
	expect_taken(bed, RPD_SLOT_MAX, 2);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(held_connections),
	        CHECK_CASE(order_never_changes),
	        CHECK_CASE(threads_at_once),
	        CHECK_CASE(ipv6),
	        CHECK_CASE(two_endpoints_in_turn),
	        CHECK_CASE(two_endpoints_at_random),
	        CHECK_CASE(dual_stack),
	        CHECK_CASE(syn_with_ecn_bits),
	        CHECK_CASE(worker_added_later),
	        CHECK_CASE(weights),
	        CHECK_CASE(canary_one_in_thousand),
	        CHECK_CASE(canary_one_percent),
	        CHECK_CASE(canary_five_percent),
	        CHECK_CASE(canary_five_percent_of_eight),
	        CHECK_CASE(canary_third),
	        CHECK_CASE(thousand_workers),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
