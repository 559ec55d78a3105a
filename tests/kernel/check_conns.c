/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/conns: map "loads" has each open connection once, however often and whenever the policy that
 * reads it comes in force, and whenever the connection begins and ends. */
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "core/conn_count.h"
#include "kern/conns.h"
#include "kern/grace.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/load.h"
#include "steering/server.h"

#define WORKERS   4
#define HELD_MAX  64
#define MAX_CONNS 4096
#define CHANGES   40

static struct conns conns;

/* Held connections: both ends. */
static struct held {
	int client, server;
} held[HELD_MAX];
static unsigned int n_held;

static void end(void)
{
	for (unsigned int i = 0; i < n_held; i++) {
		close(held[i].client);
		close(held[i].server);
	}
	n_held = 0;
	conns_close(&conns);
}

/* The counting programs count on the ports of the service; a bed has a port only when it listens.
 */
static void note_port(const struct bed *bed)
{
	const uint16_t port = bed->steer.service->endpoints[0].port;
	struct rpd_ports ports = {};
	uint32_t zero = 0;

	ports.has[port / 64] |= 1ull << port % 64;
	CHECK_EQ(bpf_map_update_elem(bed->steer.map_fd[STEER_PORTS], &zero, &ports, BPF_ANY), 0);
}

/* Round robin, with counting. */
static struct bed *start(uint32_t max_conns)
{
	struct bed *bed = bed_new();

	bed->max_conns = max_conns;
	bed_start(bed, WORKERS);
	note_port(bed);
	check_at_end(end);
	conns_init(&conns);
	conns_attach(&conns, &bed->steer, &bed->pins);
	CHECK_MSG(conns.counting, "%s", conns.why);
	return bed;
}

static void set_policy(struct bed *bed, enum rpd_policy policy)
{
	_cleanup_grace_ struct grace grace = GRACE_NONE;
	struct error err;

	if (policy == RPD_LEAST_CONNECTIONS) {
		CHECK_MSG(grace_prepare(&grace, &err) == 0, "%s", err.text);
		CHECK_MSG(conns_count_loads(&conns, &bed->steer, &grace, &err) == 0, "%s",
		          err.text);
	}
	bed->draft.policy = policy;
	bed_apply(bed);
}

/* Opens @n connections that stay open. */
static void hold(struct bed *bed, unsigned int n)
{
	for (; n; n--) {
		struct held *it = &held[n_held++];

		CHECK(n_held <= HELD_MAX);
		it->client = client_hold(bed);
		CHECK_UNTIL((it->server = server_accept_any(bed, 0)) >= 0);
	}
}

/* Ends @n of them, the oldest ones first, each in another way. */
static void release(unsigned int n)
{
	for (; n; n--) {
		const struct held it = held[0];

		memmove(held, held + 1, --n_held * sizeof(*held));
		if (n % 2)
			client_reset(it.client);
		else
			close(it.client);
		close(it.server);
	}
}

static uint64_t open_of(const struct bed *bed, unsigned int slot)
{
	struct conn_count count;

	CHECK_EQ(conns_read_count(&bed->steer, slot, &count), 0);
	return conn_count_still_open(&count);
}

static int64_t load_of(const struct bed *bed, uint32_t slot)
{
	struct rpd_load load;

	CHECK_EQ(bpf_map_lookup_elem(bed->steer.map_fd[STEER_LOADS], &slot, &load), 0);
	return load.open;
}

static int64_t sum_of_loads(const struct bed *bed)
{
	int64_t sum = 0;

	for (unsigned int slot = 0; slot < WORKERS; slot++)
		sum += load_of(bed, slot);
	return sum;
}

static uint64_t sum_of_open(const struct bed *bed)
{
	uint64_t sum = 0;

	for (unsigned int slot = 0; slot < WORKERS; slot++)
		sum += open_of(bed, slot);
	return sum;
}

/* Under least-connections: both counts of each worker are the same. */
static void check_exact(const struct bed *bed)
{
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		CHECK_EQ(load_of(bed, slot), open_of(bed, slot));
}

/* Connections that begin and end before, while and after the policy is in force. */
static void check_changes(struct bed *bed)
{
	hold(bed, 14);
	release(2);
	CHECK_UNTIL(sum_of_open(bed) == 12);
	CHECK_EQ(sum_of_loads(bed), 0);
	set_policy(bed, RPD_LEAST_CONNECTIONS);
	CHECK_EQ(sum_of_loads(bed), 12);
	check_exact(bed);
	hold(bed, 8);
	release(5); /* from before */
	CHECK_UNTIL(sum_of_open(bed) == 15);
	CHECK_EQ(sum_of_loads(bed), 15);
	check_exact(bed);
	set_policy(bed, RPD_ROUND_ROBIN);
	hold(bed, 10);
	CHECK_EQ(sum_of_loads(bed), 15);
	release(9);
	CHECK_UNTIL(sum_of_open(bed) == 16);
	CHECK_EQ(sum_of_loads(bed), 6);
	set_policy(bed, RPD_LEAST_CONNECTIONS);
	set_policy(bed, RPD_LEAST_CONNECTIONS); /* as after a command that was killed */
	CHECK_EQ(sum_of_loads(bed), 16);
	check_exact(bed);
	release(n_held);
	CHECK_UNTIL(sum_of_open(bed) == 0);
	CHECK_EQ(sum_of_loads(bed), 0);
}

static void policy_changes(void)
{
	check_changes(start(MAX_CONNS));
}

/* Some connections are in map "conns_more": 20 are open at the same time. */
static void policy_changes_beyond_the_buckets(void)
{
	check_changes(start(16));
}

/* The policy changes while four threads open and close connections. */
static void policy_changes_under_load(void)
{
	struct bed *bed = start(MAX_CONNS);

	hold(bed, 20);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < CHANGES; i++) {
		set_policy(bed, i % 2 ? RPD_ROUND_ROBIN : RPD_LEAST_CONNECTIONS);
		load_wait(bed, 20);
	}
	set_policy(bed, RPD_LEAST_CONNECTIONS);
	load_wait(bed, 20);
	load_stop(bed);
	CHECK_UNTIL(sum_of_open(bed) == 20);
	CHECK_EQ(sum_of_loads(bed), 20);
	check_exact(bed);
	release(n_held);
	CHECK_UNTIL(sum_of_open(bed) == 0);
	CHECK_EQ(sum_of_loads(bed), 0);
}

/* Connections in the queue of a listener that closes are counted for the worker that gets them. */
static void queue_migrates(void)
{
	struct bed *bed = start(MAX_CONNS);
	int clients[3 * WORKERS];

	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		clients[i] = client_hold(bed);
	set_policy(bed, RPD_LEAST_CONNECTIONS);
	for (unsigned int i = 2 * WORKERS; i < 3 * WORKERS; i++)
		clients[i] = client_hold(bed);
	CHECK_EQ(sum_of_loads(bed), 3 * WORKERS);
	bed_close(bed, 2);
	CHECK_EQ(sum_of_loads(bed), 3 * WORKERS);
	check_exact(bed);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		client_reset(clients[i]);
	CHECK_UNTIL(sum_of_open(bed) == 0);
	CHECK_EQ(sum_of_loads(bed), 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(policy_changes),
	        CHECK_CASE(policy_changes_beyond_the_buckets),
	        CHECK_CASE(policy_changes_under_load),
	        CHECK_CASE(queue_migrates),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
