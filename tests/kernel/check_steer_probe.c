/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes: a connection from a registered address goes to the listener that was registered for it,
 * of a worker in a slot or of a new one, and never to another, even if that listener closes. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/steer_probes.h"
#include "kern/steer_socks.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/host.h"
#include "steering/server.h"

#define WORKERS 4
#define SOURCE  0x7f000063 /* 127.0.0.99 */

static struct rpd_probe source_of(const union socket_address *a)
{
	struct rpd_probe source = {.family = a->sa.sa_family};

	if (a->sa.sa_family == AF_INET6) {
		memcpy(source.addr, &a->in6.sin6_addr, 16);
		source.port = ntohs(a->in6.sin6_port);
	} else {
		memcpy(source.addr, &a->in.sin_addr, 4);
		source.port = ntohs(a->in.sin_port);
	}
	return source;
}

/* An unused port, below those that the kernel chooses. */
static in_port_t new_port(void)
{
	static uint16_t last = 20000;

	return htons(++last);
}

static union socket_address client_address(void)
{
	union socket_address a = socket_address_v4(SOURCE);

	a.in.sin_port = new_port();
	return a;
}

/* Registers an address for @index, and connects from it to endpoint 0 over IPv4. Returns the
 * descriptor or a negative errno. */
static int probe(struct bed *bed, unsigned int index)
{
	const union socket_address from = client_address();
	const struct rpd_probe source = source_of(&from);
	int fd;

	CHECK_EQ(steer_probes_set(&bed->steer, &source, index), 0);
	fd = client_connect(bed, 0, AF_INET, &from);
	CHECK_EQ(steer_probes_remove(&bed->steer, &source), 0);
	CHECK_EQ(bed->steer.control->n_probes, 0);
	return fd;
}

/* The probe succeeds, and reaches @listener. */
static void probe_reaches(struct bed *bed, unsigned int index, unsigned int listener)
{
	const unsigned int before = server_taken(bed, listener);
	const int fd = probe(bed, index);

	CHECK(fd >= 0);
	server_collect(bed, 1);
	CHECK_EQ(server_taken(bed, listener), before + 1);
	client_reset(fd);
}

static void probe_of_a_slot(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	for (unsigned int i = 0; i < 3 * WORKERS; i++)
		probe_reaches(bed, (i * 3) % WORKERS, (i * 3) % WORKERS);
	CHECK_EQ(bed->steer.control->cursor, 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_probed), 3);
	CHECK_EQ(counters_sum(bed), 3 * WORKERS);
	client_visit(bed, 2 * WORKERS);
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_steered), 2);
}

/* The shares of other connections stay exact while probes run. */
static void probe_beside_clients(void)
{
	struct bed *bed = bed_new();
	union socket_address from = client_address();
	const struct rpd_probe source = source_of(&from);
	unsigned int newcomer;

	bed_start(bed, WORKERS);
	newcomer = bed_listen(bed, 0);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PROBE, bed->listeners[newcomer].fd), 0);
	CHECK_EQ(steer_probes_set(&bed->steer, &source, RPD_SLOT_PROBE), 0);
	for (unsigned int i = 0; i < 5; i++) {
		client_visit(bed, WORKERS);
		CHECK_EQ(client_visit_from(bed, 0, AF_INET, &from), newcomer);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(server_taken(bed, i), 5);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_probed), 5);
	/* Not registered: the address with another port, the port with another address. */
	from.in.sin_port = 0;
	CHECK(client_visit_from(bed, 0, AF_INET, &from) != newcomer);
	from = socket_address_v4(SOURCE + 1);
	from.in.sin_port = htons(source.port);
	CHECK(client_visit_from(bed, 0, AF_INET, &from) != newcomer);
}

/* A worker that is not admitted yet. Once it is, probes of its slot reach it. */
static void probe_of_a_new_worker(void)
{
	struct bed *bed = bed_new();
	unsigned int newcomer;

	bed_start(bed, WORKERS);
	newcomer = bed_listen(bed, 0);
	for (unsigned int n = 0; n < RPD_PROBE_MAX; n += RPD_PROBE_MAX - 1) {
		CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PROBE + n,
		                         bed->listeners[newcomer].fd),
		         0);
		probe_reaches(bed, RPD_SLOT_PROBE + n, newcomer);
		CHECK_EQ(steer_socks_clear(&bed->steer, 0, RPD_SLOT_PROBE + n), 0);
		CHECK_EQ(probe(bed, RPD_SLOT_PROBE + n), -ECONNREFUSED);
	}
	bed_admit(bed, newcomer, 1, RPD_FIRST_LABEL);
	bed_apply(bed);
	probe_reaches(bed, 1, newcomer);
}

/* A probe needs neither a ring nor a worker in a slot. */
static void probe_without_a_ring(void)
{
	struct bed *bed = bed_new();
	unsigned int newcomer;

	bed_endpoint(bed, AF_INET, false);
	newcomer = bed_listen(bed, 0);
	bed_attach(bed, 0);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PROBE + 7, bed->listeners[newcomer].fd),
	         0);
	CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	probe_reaches(bed, RPD_SLOT_PROBE + 7, newcomer);
}

/* Probes of a closed listener fail. No other worker answers them. */
static void probe_of_a_closed_listener(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, WORKERS);
	bed_close(bed, 2);
	for (unsigned int i = 0; i < 2 * WORKERS; i++)
		CHECK_EQ(probe(bed, 2), -ECONNREFUSED);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_dropped), 2 * WORKERS);
	probe_reaches(bed, 3, 3);
}

/* A probe in the queue of a listener that closes does not migrate. */
static void not_migrated(struct bed *bed, int family, const union socket_address *from)
{
	const struct rpd_probe source = source_of(from);
	struct rpd_probe seen = source;
	unsigned int newcomer = bed_listen(bed, 0);
	int fd;

	if (family == AF_INET6 && from->sa.sa_family == AF_INET)
		seen.family = AF_INET;
	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PROBE, bed->listeners[newcomer].fd), 0);
	CHECK_EQ(steer_probes_set(&bed->steer, &seen, RPD_SLOT_PROBE), 0);
	fd = client_connect(bed, 0, from->sa.sa_family, from);
	CHECK(fd >= 0);
	bed_close(bed, newcomer);
	CHECK_UNTIL(client_is_reset(fd));
	close(fd);
	CHECK_EQ(steer_probes_remove(&bed->steer, &source), 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		CHECK_EQ(server_accept(bed, i), -1);
}

static void probe_is_not_migrated_v4(void)
{
	struct bed *bed = bed_new();
	const union socket_address from = client_address();

	bed_start(bed, WORKERS);
	not_migrated(bed, AF_INET, &from);
}

static void probe_is_not_migrated_v6(void)
{
	struct bed *bed = bed_new();
	union socket_address v6 = socket_address_v6(&in6addr_loopback), v4 = client_address();

	bed_endpoint(bed, AF_INET6, false);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
	v6.in6.sin6_port = new_port();
	not_migrated(bed, AF_INET6, &v6);
	not_migrated(bed, AF_INET6, &v4);
}

/* Probes of both families to a listener of both; with SYN cookies the ACK goes where the SYN went.
 */
static void probe_over_both_families(void)
{
	struct bed *bed = bed_new();
	union socket_address v6 = socket_address_v6(&in6addr_loopback), v4 = client_address();
	struct rpd_probe sources[2];
	unsigned int newcomer;

	bed_endpoint(bed, AF_INET6, false);
	bed_workers(bed, 0, 0, WORKERS, RPD_FIRST_LABEL);
	newcomer = bed_listen(bed, 0);
	bed_apply(bed);
	bed_attach(bed, 0);
	v6.in6.sin6_port = new_port();
	sources[0] = source_of(&v6);
	sources[1] = source_of(&v4);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PROBE + 1, bed->listeners[newcomer].fd),
	         0);
	for (unsigned int i = 0; i < 2; i++)
		CHECK_EQ(steer_probes_set(&bed->steer, &sources[i], RPD_SLOT_PROBE + 1), 0);
	CHECK_EQ(bed->steer.control->n_probes, 2);
	for (int cookies = 1; cookies <= 2; cookies++) {
		host_sysctl("ipv4/tcp_syncookies", cookies);
		CHECK_EQ(client_visit_from(bed, 0, AF_INET6, &v6), newcomer);
		CHECK_EQ(client_visit_from(bed, 0, AF_INET, &v4), newcomer);
	}
	CHECK_EQ(server_taken(bed, newcomer), 4);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_probed), 4);
	CHECK_EQ(counters_row(bed, RPD_ROW_NONE, RPD_OUTCOME_cookie_ack), 2);
}

/* The probes that a killed supervisor has left. */
static void probes_are_cleared(void)
{
	struct bed *bed = bed_new();
	unsigned int newcomer;

	bed_start(bed, WORKERS);
	newcomer = bed_listen(bed, 0);
	CHECK_EQ(steer_socks_put(&bed->steer, 0, RPD_SLOT_PROBE + 5, bed->listeners[newcomer].fd),
	         0);
	for (uint16_t port = 1; port <= 100; port++) {
		const struct rpd_probe source = {.port = port, .family = AF_INET};

		for (unsigned int again = 0; again < 2; again++)
			CHECK_EQ(steer_probes_set(&bed->steer, &source, RPD_SLOT_PROBE + 5), 0);
	}
	CHECK_EQ(bed->steer.control->n_probes, 100);
	steer_probes_clear(&bed->steer);
	CHECK_EQ(bed->steer.control->n_probes, 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, RPD_SLOT_PROBE + 5), 0);
	CHECK(steer_socks_cookie(&bed->steer, 0, 0) != 0);
	/* After that the listener can be put into a slot. */
	CHECK_EQ(steer_socks_put(&bed->steer, 0, 0, bed->listeners[newcomer].fd), 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(probe_of_a_slot),
	        CHECK_CASE(probe_beside_clients),
	        CHECK_CASE(probe_of_a_new_worker),
	        CHECK_CASE(probe_without_a_ring),
	        CHECK_CASE(probe_of_a_closed_listener),
	        CHECK_CASE(probe_is_not_migrated_v4),
	        CHECK_CASE(probe_is_not_migrated_v6),
	        CHECK_CASE(probe_over_both_families),
	        CHECK_CASE(probes_are_cleared),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
