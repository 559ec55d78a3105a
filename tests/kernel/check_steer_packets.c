/* SPDX-License-Identifier: BSD-2-Clause */
/* The program runs for every packet without a connection, not only for SYNs. Only SYNs move the
 * cursor, and each run is counted once, by the kind of the packet. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/host.h"
#include "steering/load.h"
#include "steering/raw.h"
#include "steering/server.h"

#define WORKERS 8

/* Packets without a connection. A listener answers some with resets, which go to no socket. */
static const struct {
	uint8_t flags;
	uint16_t n_data;
	enum rpd_outcome outcome;
} strays[] = {
        {RAW_ACK, 0, RPD_OUTCOME_cookie_ack},      {RAW_ACK | RAW_PSH, 10, RPD_OUTCOME_cookie_ack},
        {RAW_RST, 0, RPD_OUTCOME_stray},           {RAW_RST | RAW_ACK, 0, RPD_OUTCOME_stray},
        {RAW_FIN, 0, RPD_OUTCOME_stray},           {RAW_FIN | RAW_ACK, 0, RPD_OUTCOME_stray},
        {RAW_SYN | RAW_ACK, 0, RPD_OUTCOME_stray}, {RAW_SYN | RAW_FIN, 0, RPD_OUTCOME_stray},
        {RAW_SYN | RAW_RST, 0, RPD_OUTCOME_stray}, {0, 0, RPD_OUTCOME_stray},
        {RAW_PSH, 10, RPD_OUTCOME_stray},
};

/* Sends one of each from an unused port. */
static void send_strays(const struct bed *bed, int family, unsigned int seed)
{
	struct raw_packet packet = {.to = client_target(bed, 0, family), .seq = seed, .ack = ~seed};

	packet.from = packet.to;
	*(family == AF_INET6 ? &packet.from.in6.sin6_port : &packet.from.in.sin_port) =
	        htons(1 + seed % 1000);
	for (size_t i = 0; i < ARRAY_SIZE(strays); i++) {
		packet.flags = strays[i].flags;
		packet.n_data = strays[i].n_data;
		raw_send(&packet);
	}
}

static void strays_between(struct bed *bed, int family)
{
	const uint64_t rounds = 400, n_strays = rounds * ARRAY_SIZE(strays);
	uint64_t cookie_acks = 0;

	bed_endpoint(bed, family, true);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	for (unsigned int i = 0; i < rounds; i++) {
		send_strays(bed, family, i);
		CHECK_EQ(client_visit_from(bed, 0, family, NULL), i % WORKERS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(strays); i++)
		cookie_acks += strays[i].outcome == RPD_OUTCOME_cookie_ack ? rounds : 0;
	CHECK_UNTIL(counters_sum(bed) == rounds + n_strays);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), rounds);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_cookie_ack), cookie_acks);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_stray), n_strays - cookie_acks);
	CHECK_EQ(bed->steer.control->cursor, rounds);
}

static void stray_packets_v4(void)
{
	strays_between(bed_new(), AF_INET);
}

static void stray_packets_v6(void)
{
	strays_between(bed_new(), AF_INET6);
}

static void stray_packets_under_load(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	load_start(bed, LOAD_V4(1000));
	for (unsigned int i = 0; i < 500; i++)
		send_strays(bed, AF_INET, i);
	load_stop(bed);
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(server_taken(bed, i), 500);
}

#define FLOOD_THREADS 4
#define FLOOD_EACH    20000

struct flood {
	pthread_t thread;
	struct raw_packet packet;
};

static void *flood_thread(void *arg)
{
	struct flood *flood = arg;
	_cleanup_close_ int fd = raw_open(AF_INET);

	for (unsigned int i = 1; i <= FLOOD_EACH; i++) {
		flood->packet.from.in.sin_port = htons((uint16_t)i);
		raw_put(fd, &flood->packet);
	}
	return NULL;
}

/* Whether all turns so far were taken, each once. */
static bool turns_are_dealt(const struct bed *bed)
{
	const uint64_t n = bed->steer.control->cursor;

	for (unsigned int i = 0; i < WORKERS; i++)
		if (counters_row(bed, i, RPD_OUTCOME_steered) != (n + WORKERS - 1 - i) / WORKERS)
			return false;
	return bed->steer.control->cursor == n;
}

/* All CPUs share one cursor. When SYNs come on all CPUs at once and as fast as possible (the queues
 * are full, so that nothing more is done for a SYN), no turn is taken twice, and none is left out.
 * The kernel drops some SYNs before the program sees them, if its queue for the CPU is full.
 */
static void syn_flood(void)
{
	struct bed *bed = bed_new();
	const unsigned int n = FLOOD_THREADS * FLOOD_EACH + WORKERS;
	struct flood floods[FLOOD_THREADS];
	int clients[WORKERS];

	bed_start(bed, WORKERS);
	for (unsigned int i = 0; i < WORKERS; i++) {
		CHECK_EQ(listen(bed->listeners[i].fd, 0), 0); /* room for one */
		clients[i] = client_hold(bed);
	}
	for (unsigned int i = 0; i < FLOOD_THREADS; i++) {
		floods[i].packet = (struct raw_packet){.from = socket_address_v4(0x7f030001u + i),
		                                       .to = client_target(bed, 0, AF_INET),
		                                       .flags = RAW_SYN};
		CHECK_EQ(pthread_create(&floods[i].thread, NULL, flood_thread, &floods[i]), 0);
	}
	for (unsigned int i = 0; i < FLOOD_THREADS; i++)
		pthread_join(floods[i].thread, NULL);
	CHECK_UNTIL(bed->steer.control->cursor > n / 2 && turns_are_dealt(bed));
	CHECK_BETWEEN(bed->steer.control->cursor, n / 2, n);
	for (unsigned int i = 0; i < WORKERS; i++)
		client_reset(clients[i]);
}

/* With SYN cookies, SYN and ACK of a handshake are two runs, and the ACK may go to another
 * listener. */
static void syn_cookies(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	host_sysctl("ipv4/tcp_syncookies", 2);
	client_visit(bed, 4000);
	load_run(bed, LOAD_V4(1000));
	for (unsigned int i = 0; i < WORKERS; i++) {
		CHECK_EQ(server_taken(bed, i), 1000);
		CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_steered), 1000);
		CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_cookie_ack), 1000);
	}
	CHECK_EQ(counters_sum(bed), 16000);
}

static void syn_cookies_v6(void)
{
	struct bed *bed = bed_new();

	bed_endpoint(bed, AF_INET6, false);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	host_sysctl("ipv4/tcp_syncookies", 2);
	for (unsigned int i = 0; i < 1600; i++)
		client_visit_from(bed, 0, i % 2 ? AF_INET6 : AF_INET, NULL);
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(server_taken(bed, i), 200);
}

/* With SYN cookies the worker that got the SYN keeps no state: it may be drained before the ACK. */
static void syn_cookies_while_draining(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	host_sysctl("ipv4/tcp_syncookies", 2);
	load_start(bed, LOAD_V4(0));
	for (unsigned int i = 0; i < 50; i++) {
		bed_set_state(bed, i % WORKERS, RPD_SLOT_DRAINING);
		load_wait(bed, 20);
		bed_set_state(bed, i % WORKERS, RPD_SLOT_ACTIVE);
	}
	load_stop(bed);
}

static int tcp_state(int fd)
{
	struct tcp_info info = {};
	socklen_t size = sizeof(info);

	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	return info.tcpi_state;
}

/* A client that connects again from the same port while its last connection is in TIME_WAIT. */
static void client_port_in_time_wait(void)
{
	struct bed *bed = bed_new();
	union socket_address from = socket_address_v4(INADDR_LOOPBACK);
	const int on = 1;

	bed_start(bed, WORKERS);
	from.in.sin_port = htons(2000);
	for (unsigned int i = 0; i < 2 * WORKERS; i++) {
		const union socket_address to = client_target(bed, 0, AF_INET);
		_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int server;

		CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
		CHECK_EQ(bind(client, &from.sa, sizeof(from)), 0);
		CHECK_EQ(connect(client, &to.sa, sizeof(to)), 0);
		CHECK_UNTIL((server = server_accept(bed, i % WORKERS)) >= 0);
		close(server);
		CHECK_UNTIL(tcp_state(client) == TCP_CLOSE_WAIT);
		shutdown(client, SHUT_WR);
		CHECK_UNTIL(tcp_state(client) == TCP_CLOSE);
	}
	CHECK_EQ(counters_sum(bed), 2 * WORKERS);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_steered), 2 * WORKERS);
	CHECK_EQ(bed->steer.control->cursor, 2 * WORKERS);
}

/* The counters add up to the runs that the kernel has counted. */
static void every_run_is_counted(void)
{
	struct bed *bed = bed_new();
	int queued[10 * WORKERS];

	bed_endpoint(bed, AF_INET, false);
	counters_watch_runs(bed);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);

	for (size_t i = 0; i < ARRAY_SIZE(queued); i++)
		queued[i] = client_hold(bed);
	bed_close(bed, 0); /* stays in the ring as a hole */
	server_collect(bed, ARRAY_SIZE(queued));
	for (size_t i = 0; i < ARRAY_SIZE(queued); i++)
		client_reset(queued[i]);

	load_start(bed, LOAD_V4(0));
	load_wait(bed, 200);
	for (unsigned int i = 1; i < 4; i++) {
		send_strays(bed, AF_INET, i);
		bed_set_state(bed, i, RPD_SLOT_DRAINING);
		load_wait(bed, 200);
		bed_close(bed, i);
	}
	host_sysctl("ipv4/tcp_syncookies", 2);
	load_wait(bed, 200);
	load_stop(bed);

	for (unsigned int i = 0; i < WORKERS; i++)
		bed_set_state(bed, i, RPD_SLOT_DRAINING);
	CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);

	CHECK_UNTIL(counters_sum(bed) == counters_runs(bed));
	CHECK(counters_total(bed, RPD_OUTCOME_steered) > 600);
	CHECK(counters_total(bed, RPD_OUTCOME_slot_gone) > 0);
	CHECK(counters_total(bed, RPD_OUTCOME_cookie_ack) > 0);
	CHECK(counters_total(bed, RPD_OUTCOME_stray) > 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 10);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_dropped), 1);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(stray_packets_v4),
	        CHECK_CASE(stray_packets_v6),
	        CHECK_CASE(stray_packets_under_load),
	        CHECK_CASE(syn_flood),
	        CHECK_CASE(syn_cookies),
	        CHECK_CASE(syn_cookies_v6),
	        CHECK_CASE(syn_cookies_while_draining),
	        CHECK_CASE(client_port_in_time_wait),
	        CHECK_CASE(every_run_is_counted),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
