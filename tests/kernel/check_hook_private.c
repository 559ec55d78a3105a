/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/hook: ports that workers do not share, because one of them uses it as a lock, or because the
 * supervisor says so. Needs root. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <reuseportd/hook_abi.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/binder.h"
#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "check/check.h"
#include "kern/hook.h"

#define PORT 8080

static const struct rpd_endpoint any = {.family = AF_INET, .port = PORT};

/* ---- The service ---- */

struct bed {
	struct cgroup_bed service;
	int a, b; /* the cgroups of two workers */
	struct hook *hook;
};

static void bed_end(struct bed *bed)
{
	hook_free(bed->hook);
	cleanup_close(&bed->a);
	cleanup_close(&bed->b);
	cgroup_bed_end(&bed->service);
}

#define _cleanup_bed_ _cleanup_(bed_end)

static struct bed make(const uint16_t *ports, size_t n)
{
	struct bed bed = {.service = cgroup_bed_make()};
	struct error err;

	bed.a = cgroup_bed_worker(&bed.service, "0-1");
	bed.b = cgroup_bed_worker(&bed.service, "1-2");
	CHECK(hook_attach(bed.service.fd, ports, n, &bed.hook, &err) == 0);
	return bed;
}

/* A worker binds the port and listens; returns 0 or a negative errno. */
static int opens(int worker)
{
	return binder_open((struct binder_order){.cgroup = worker, .port = PORT}).error;
}

static int opens_on_loopback(int worker, int family)
{
	return binder_open(
	               (struct binder_order){
	                       .cgroup = worker, .port = PORT, .family = family, .loopback = true})
	        .error;
}

/* A worker binds the port. It listens when shared->fd is set. */
static void bind_at_once(int worker)
{
	CHECK(binder_open((struct binder_order){.cgroup = worker, .port = PORT, .late = true})
	              .bound);
}

/* The same, and the worker has the port for longer than most servers need to listen. */
static void bind_only(int worker)
{
	int64_t bound;

	bind_at_once(worker);
	bound = clock_ns(CLOCK_MONOTONIC);
	CHECK_UNTIL(clock_ns(CLOCK_MONOTONIC) - bound > (int64_t)HOOK_LOCK_NS);
}

/* ---- The cases ---- */

static void port_as_a_lock(void)
{
	_cleanup_bed_ struct bed bed = make(NULL, 0);

	bind_only(bed.a);
	CHECK_EQ(opens(bed.b), -EADDRINUSE);
	CHECK_EQ(opens(bed.a), -EADDRINUSE); /* as without us */
}

/* A lock ends with its holder. Exactly one other gets it, at once. If a socket with the port
 * listens, it is no lock any more. */
static void lock_of_a_dead_holder(void)
{
	_cleanup_bed_ struct bed bed = make(NULL, 0);

	bind_only(bed.a);
	CHECK_EQ(opens(bed.b), -EADDRINUSE);
	children_end();
	bind_at_once(bed.b);
	CHECK_EQ(opens(bed.a), -EADDRINUSE);
	children_end();
	CHECK_EQ(opens(bed.b), 0);
	CHECK_EQ(opens(bed.a), 0);
}

/* The holder listens: it was no lock. */
static void holder_that_listens(void)
{
	_cleanup_bed_ struct bed bed = make(NULL, 0);

	bind_only(bed.a);
	shared->fd = 1;
	CHECK_EQ(binder_finish().error, 0);
	CHECK_EQ(opens(bed.b), 0);
}

/* Some servers bind long before they listen. */
static void served_port_is_no_lock(void)
{
	_cleanup_bed_ struct bed bed = make(NULL, 0);
	struct error err;

	CHECK_EQ(hook_set_served(bed.hook, &any, 1, &err), 0);
	bind_only(bed.a);
	CHECK_EQ(opens(bed.b), 0);
}

/* A port that was named is shared, whatever it is used for. */
static void named_port_is_no_lock(void)
{
	static const uint16_t ports[] = {PORT};
	_cleanup_bed_ struct bed bed = make(ports, 1);

	bind_only(bed.a);
	CHECK_EQ(opens(bed.b), 0);
}

/* By address, then by port. */
static void private_address(void)
{
	static const struct rpd_endpoint port = {.port = PORT};
	_cleanup_bed_ struct bed bed = make(NULL, 0);
	struct rpd_endpoint other = any;
	struct error err;

	other.addr[0] = 127;
	CHECK_EQ(opens(bed.a), 0);
	CHECK_EQ(hook_set_private(bed.hook, &other, 1, &err), 0);
	CHECK_EQ(opens(bed.b), 0);
	CHECK_EQ(hook_set_private(bed.hook, &any, 1, &err), 0);
	CHECK_EQ(opens(bed.b), -EADDRINUSE);
	CHECK_EQ(hook_set_private(bed.hook, &port, 1, &err), 0);
	CHECK_EQ(opens(bed.b), -EADDRINUSE);
	CHECK_EQ(hook_set_private(bed.hook, NULL, 0, &err), 0);
	CHECK_EQ(opens(bed.b), 0);
}

/* All loopback addresses, on all ports. */
static void private_loopback(void)
{
	static const struct rpd_endpoint loopback = {};
	_cleanup_bed_ struct bed bed = make(NULL, 0);
	struct error err;

	CHECK_EQ(hook_set_private(bed.hook, &loopback, 1, &err), 0);
	CHECK_EQ(opens(bed.a), 0);
	CHECK_EQ(opens(bed.b), 0);
	children_end();
	CHECK_EQ(opens_on_loopback(bed.a, AF_INET), 0);
	CHECK_EQ(opens_on_loopback(bed.b, AF_INET), -EADDRINUSE);
	CHECK_EQ(opens_on_loopback(bed.a, AF_INET6), 0);
	CHECK_EQ(opens_on_loopback(bed.b, AF_INET6), -EADDRINUSE);

	/* One that is held gets no connection: each worker may try it. */
	CHECK_EQ(hook_set_served(bed.hook, &any, 1, &err), 0);
	CHECK_EQ(opens_on_loopback(bed.a, AF_INET), 0);
	CHECK_EQ(opens_on_loopback(bed.b, AF_INET), 0);
	children_end();

	/* One on the port of an endpoint is no worker's own, even if it takes nothing from it. */
	CHECK_EQ(opens_on_loopback(bed.a, AF_INET6), 0);
	CHECK_EQ(opens_on_loopback(bed.b, AF_INET6), 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(port_as_a_lock),        CHECK_CASE(lock_of_a_dead_holder),
	        CHECK_CASE(holder_that_listens),   CHECK_CASE(served_port_is_no_lock),
	        CHECK_CASE(named_port_is_no_lock), CHECK_CASE(private_address),
	        CHECK_CASE(private_loopback),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
