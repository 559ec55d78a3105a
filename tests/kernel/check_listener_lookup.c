/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/listener_lookup, as kern/in_force uses it: a listener outside the workers' group. Needs
 * root. */
#include <netinet/in.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "kern/own_listener.h"
#include "kern/proc.h"
#include "service/in_force_restore.h"
#include "service/service_endpoint.h"
#include "service/service_in_force.h"

static struct run_worker workers[2];
static unsigned int n_said;

static void say(const char *line, void *data)
{
	n_said++;
}

static struct in_force_restore_report report;

static bool is_avoided(unsigned int e)
{
	struct in_force found;

	service_in_force_read(&run_service, &found);
	return found.avoided[e];
}

static void set_reuseport(int fd, int on)
{
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
}

static int restore(void)
{
	struct error err;

	return in_force_restore_once(&run_service, &report, &err);
}

static const uint8_t any[16], loopback[16] = {[15] = 1};

/* A listener of the second endpoint that none of the workers' listeners, which come later, are in a
 * group with. */
static int begin_outside(const uint8_t address[16])
{
	struct rpd_endpoint endpoint = {
	        .family = AF_INET6, .v6only = true, .port = RUN_SERVICE_PORT + 1};
	struct error err;
	int fd;

	memcpy(endpoint.addr, address, sizeof(endpoint.addr));
	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	CHECK_EQ(service_endpoint_add(&run_service, &endpoint, &err), 1);
	fd = own_listener_open(&endpoint, -1, &err);
	CHECK(fd >= 0);
	set_reuseport(fd, 0);
	for (unsigned int slot = 0; slot < ARRAY_SIZE(workers); slot++)
		run_worker_admit(slot, &workers[slot]);
	report = (struct in_force_restore_report){.say = say};
	n_said = 0;
	return fd;
}

static long count_faults_of_children(void)
{
	struct rusage usage;

	CHECK_EQ(getrusage(RUSAGE_CHILDREN, &usage), 0);
	return usage.ru_minflt;
}

/* On a kernel where a request may wait for others', a child asks. */
static void child_looks_up(void)
{
	const int fd = begin_outside(any);
	const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + 30 * NS_PER_S;
	const long before = count_faults_of_children();

	CHECK(personality(UNAME26) >= 0); /* the kernel's release is 2.6 now */
	do
		CHECK(is_avoided(1));
	while (count_faults_of_children() == before && clock_ns(CLOCK_MONOTONIC) < deadline);
	CHECK(count_faults_of_children() > before);
	close(fd);
	CHECK(!is_avoided(1));
	CHECK(personality(PER_LINUX) >= 0);
}

/* A connection from the endpoint's address, and any port, hides nothing. */
static void connection_of_the_host(void)
{
	enum { FIRST = 40000, PORTS = 32 };
	const int outside = begin_outside(loopback), on = 1;
	int fds[PORTS];

	for (int i = 0; i < PORTS; i++) {
		struct sockaddr_in6 address = {.sin6_family = AF_INET6,
		                               .sin6_port = htons(FIRST + i),
		                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};

		fds[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_EQ(setsockopt(fds[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
		CHECK_EQ(bind(fds[i], (struct sockaddr *)&address, sizeof(address)), 0);
		address.sin6_port = htons(RUN_SERVICE_PORT + 1);
		CHECK_EQ(connect(fds[i], (struct sockaddr *)&address, sizeof(address)), 0);
	}
	CHECK(is_avoided(1));
	for (int i = 0; i < PORTS; i++)
		close(fds[i]);
	close(outside);
}

/* A listener on an address that no host has gets no connection. */
static void listener_of_no_host(void)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
	                                    .sin_port = htons(RUN_SERVICE_PORT),
	                                    .sin_addr.s_addr = htonl(0xc0000201)};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int outside = begin_outside(any), on = 1;

	set_reuseport(fd, 1);
	CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)), 0);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK(!is_avoided(0));
	close(outside);
}

/* A listener outside a group keeps no other listener from being put right. */
static void outside_and_avoiding(void)
{
	const int outside = begin_outside(any);
	struct error err;
	_cleanup_close_ int fd = proc_duplicate_fd(workers[1].newcomer.owner.id.pid,
	                                           workers[1].newcomer.fds[0], 0, &err);

	CHECK_EQ(restore(), 0);
	CHECK_EQ(n_said, 1);
	set_reuseport(fd, 0);
	CHECK_EQ(restore(), 1);
	CHECK(!is_avoided(0));
	CHECK_EQ(n_said, 2);
	CHECK_EQ(restore(), 0);
	CHECK_EQ(n_said, 2);
	close(outside);
}

/* The same for a group of its own, whose members take turns. */
static void group_outside(void)
{
	const int outside = begin_outside(any);
	_cleanup_close_ int other = -1;
	struct error err;

	set_reuseport(outside, 1);
	other = own_listener_open(&run_service.steer.service->endpoints[1], -1, &err);
	CHECK(other >= 0);
	CHECK(is_avoided(1));
	CHECK_EQ(restore(), 0);
	CHECK_EQ(n_said, 1);
	close(outside); /* the kernel comes to the workers' group before the other listener */
	CHECK(!is_avoided(1));
}

/* Members of the service's group that were not admitted hide nothing, and are not outside. */
static void foreign_members(void)
{
	const int outside = begin_outside(any);
	int others[100];
	struct error err;

	close(outside);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = own_listener_open(&run_service.steer.service->endpoints[1], -1, &err);
		CHECK(others[i] >= 0);
	}
	CHECK(!is_avoided(1));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		close(others[i]);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(child_looks_up),      CHECK_CASE(connection_of_the_host),
	        CHECK_CASE(listener_of_no_host), CHECK_CASE(outside_and_avoiding),
	        CHECK_CASE(group_outside),       CHECK_CASE(foreign_members),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
