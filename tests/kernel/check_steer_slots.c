/* SPDX-License-Identifier: BSD-2-Clause */
/* What reuseportd relies on in the kernel's socket arrays and reuseport groups. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/sockdiag.h"
#include "kern/steer_socks.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/server.h"

#define KERNEL_ENOTSUPP 524 /* not in <errno.h> */

static int put(struct bed *bed, unsigned int slot, int fd)
{
	return steer_socks_put(&bed->steer, 0, slot, fd);
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie;

	CHECK_EQ(sockdiag_socket_cookie(fd, &cookie), 0);
	return cookie;
}

/* Opens a TCP socket that is bound and listens, or not. */
static int tcp_socket(bool reuseport, bool bound, bool listening)
{
	const union socket_address any = socket_address_v4(INADDR_ANY);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	CHECK(!reuseport || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
	CHECK(!bound || bind(fd, &any.sa, sizeof(any)) == 0);
	CHECK(!listening || listen(fd, 1) == 0);
	return fd;
}

static void sockets_that_are_no_listeners(void)
{
	struct bed *bed = bed_new();
	_cleanup_close_ int unbound = tcp_socket(true, false, false);
	_cleanup_close_ int bound = tcp_socket(true, true, false);
	_cleanup_close_ int plain = tcp_socket(false, true, true);
	_cleanup_close_ int late = tcp_socket(false, true, true);
	_cleanup_close_ int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int child = -1, client = -1;
	const int on = 1;

	bed_start(bed, 1);
	client = client_hold(bed);
	CHECK_UNTIL((child = server_accept(bed, 0)) >= 0);
	CHECK_EQ(setsockopt(late, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	CHECK_EQ(put(bed, 1, unbound), -EINVAL);
	CHECK_EQ(put(bed, 1, bound), -EINVAL);
	CHECK_EQ(put(bed, 1, plain), -EINVAL);
	CHECK_EQ(put(bed, 1, late), -EINVAL);
	CHECK_EQ(put(bed, 1, child), -EINVAL);
	CHECK_EQ(put(bed, 1, client), -EINVAL);
	CHECK_EQ(put(bed, 1, local), -KERNEL_ENOTSUPP);
	CHECK_EQ(put(bed, 1, file), -ENOTSOCK);
	CHECK_EQ(put(bed, 1, -1), -EINVAL); /* no 32-bit number, since the value is a u64 */
	CHECK_EQ(put(bed, 1, 19999), -EBADF);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 1), 0);
}

static void slot_out_of_range(void)
{
	struct bed *bed = bed_new();
	unsigned int foreign;

	bed_start(bed, 1);
	foreign = bed_listen(bed, 0);
	CHECK_EQ(put(bed, RPD_SLOT_PROBE + RPD_PROBE_MAX, bed->listeners[foreign].fd), -E2BIG);
	CHECK_EQ(put(bed, RPD_SLOT_PROBE + RPD_PROBE_MAX - 1, bed->listeners[foreign].fd), 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, RPD_SLOT_PROBE + RPD_PROBE_MAX), 0);
}

/* A listener is in one slot of one array only; it must leave that to move. */
static void one_slot_for_each_listener(void)
{
	struct bed *bed = bed_new();
	int fd;

	bed_start(bed, 1);
	bed_endpoint(bed, AF_INET, false);
	fd = bed->listeners[0].fd;
	CHECK_EQ(put(bed, 0, fd), -EBUSY);
	CHECK_EQ(put(bed, 1, fd), -EBUSY);
	CHECK_EQ(steer_socks_put(&bed->steer, 1, 0, fd), -EBUSY);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 0), cookie_of(fd));
	CHECK_EQ(steer_socks_clear(&bed->steer, 0, 0), 0);
	CHECK_EQ(steer_socks_clear(&bed->steer, 0, 0), 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 0), 0);
	CHECK_EQ(put(bed, 1, fd), 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 1), cookie_of(fd));
}

static void replaced_listener_can_move(void)
{
	struct bed *bed = bed_new();
	unsigned int next;

	bed_start(bed, 1);
	next = bed_listen(bed, 0);
	CHECK_EQ(put(bed, 0, bed->listeners[next].fd), 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 0), cookie_of(bed->listeners[next].fd));
	CHECK_EQ(put(bed, 1, bed->listeners[0].fd), 0);
}

/* The kernel empties a slot when the last descriptor of the listener is closed. */
static void closed_listener_leaves_its_slot(void)
{
	struct bed *bed = bed_new();
	_cleanup_close_ int duplicate = -1;

	bed_start(bed, 2);
	duplicate = fcntl(bed->listeners[0].fd, F_DUPFD_CLOEXEC, 0);
	bed_close(bed, 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 0), cookie_of(duplicate));
	close(TAKE_FD(duplicate));
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 0), 0);
	CHECK_EQ(client_visit(bed, 10), 1);
}

/* shutdown() empties the slot too, even while descriptors are open. A listener that listens again
 * is in the group, and in no slot until it is put there. */
static void shut_down_listener_leaves_its_slot(void)
{
	struct bed *bed = bed_new();
	int fd;

	bed_start(bed, 2);
	fd = bed->listeners[1].fd; /* listener 0 would lose its port, which the kernel chose */
	CHECK_EQ(shutdown(fd, SHUT_RD), 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 1), 0);
	CHECK_EQ(listen(fd, 10), 0);
	CHECK_EQ(steer_socks_cookie(&bed->steer, 0, 1), 0);
	client_visit(bed, 10);
	CHECK_EQ(server_taken(bed, 0), 10);
	CHECK_EQ(put(bed, 1, fd), 0);
	client_visit(bed, 10);
	CHECK_EQ(server_taken(bed, 1), 5);
}

/* A listener of another network namespace can be put into a slot, where it counts as dead. */
static void listener_of_another_netns(void)
{
	struct bed *bed = bed_new();
	_cleanup_close_ int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int foreign = -1;

	bed_start(bed, 2);
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	foreign = tcp_socket(true, true, true);
	CHECK_EQ(setns(here, CLONE_NEWNET), 0);
	CHECK_EQ(put(bed, 0, foreign), 0);
	CHECK_EQ(client_visit(bed, 10), 1);
	CHECK_EQ(server_taken(bed, 1), 10);
	CHECK_EQ(counters_row(bed, 1, RPD_OUTCOME_slot_gone), 10);
}

/* The same with a listener of another group of this namespace. */
static void listener_of_another_group(void)
{
	struct bed *bed = bed_new();
	_cleanup_close_ int foreign = tcp_socket(true, true, true);

	bed_start(bed, 2);
	CHECK_EQ(put(bed, 0, foreign), 0);
	CHECK_EQ(client_visit(bed, 10), 1);
	CHECK_EQ(server_taken(bed, 1), 10);
}

/* The program belongs to the group: it goes with the last member. */
static void program_goes_with_the_last_member(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, 2);
	client_visit(bed, 2);
	bed_close(bed, 0);
	bed_close(bed, 1);
	CHECK_EQ(client_connect(bed, 0, AF_INET, NULL), -ECONNREFUSED);
	CHECK_EQ(counters_sum(bed), 2);
	bed_workers(bed, 0, 0, 2, RPD_FIRST_LABEL);
	client_visit(bed, 2);
	CHECK_EQ(counters_sum(bed), 2);
	bed_attach(bed, 0);
	client_visit(bed, 2);
	CHECK_EQ(counters_sum(bed), 4);
}

static void detach_stops_steering(void)
{
	struct bed *bed = bed_new();

	bed_start(bed, 2);
	client_visit(bed, 2);
	CHECK_EQ(steer_detach(&bed->steer, bed->listeners[1].fd), 0);
	client_visit(bed, 2);
	CHECK_EQ(counters_sum(bed), 2);
	CHECK_EQ(steer_detach(&bed->steer, bed->listeners[0].fd), 0);
}

/* Steering needs neither our descriptors nor the pins. */
static void steering_needs_no_process(void)
{
	struct bed *bed = bed_new();
	struct error err;
	struct steer gone;

	bed_start(bed, 4);
	gone = bed->steer;
	steer_init(&bed->steer);
	CHECK_EQ(steer_open_pins(&bed->steer, &bed->pins, &err), 0);
	steer_close(&gone);
	client_visit(bed, 8);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_steered), 2);
	CHECK_EQ(pins_remove(&bed->pins, STEER_FIRST_PIN, &err), 0);
	client_visit(bed, 8);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(counters_row(bed, i, RPD_OUTCOME_steered), 4);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(sockets_that_are_no_listeners),
	        CHECK_CASE(slot_out_of_range),
	        CHECK_CASE(one_slot_for_each_listener),
	        CHECK_CASE(replaced_listener_can_move),
	        CHECK_CASE(closed_listener_leaves_its_slot),
	        CHECK_CASE(shut_down_listener_leaves_its_slot),
	        CHECK_CASE(listener_of_another_netns),
	        CHECK_CASE(listener_of_another_group),
	        CHECK_CASE(program_goes_with_the_last_member),
	        CHECK_CASE(detach_stops_steering),
	        CHECK_CASE(steering_needs_no_process),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
