/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/hook: addresses that are held, because a listener there would take the connections of an
 * endpoint; and the kernel's rule, which endpoint_takes_from() and bpf/hook.bpf.c follow. Needs
 * root. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "check/check.h"
#include "core/endpoint.h"
#include "kern/cgroup_socket.h"
#include "kern/endpoint_address.h"
#include "kern/hook.h"
#include "kern/sockdiag.h"

#define PORT 8080
#define LO   1 /* the index of lo */

#define V4(...)                                                                                    \
	{                                                                                          \
		.family = AF_INET, .port = PORT, .addr = { __VA_ARGS__ }                           \
	}
#define V4_LO(...)                                                                                 \
	{                                                                                          \
		.family = AF_INET, .port = PORT, .ifindex = LO, .addr = { __VA_ARGS__ }            \
	}
#define V6(only, ...)                                                                              \
	{                                                                                          \
		.family = AF_INET6, .port = PORT, .v6only = (only), .addr = { __VA_ARGS__ }        \
	}
#define V6_LO(only, ...)                                                                           \
	{                                                                                          \
		.family = AF_INET6, .port = PORT, .v6only = (only), .ifindex = LO, .addr = {       \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define MAPPED(a, b, c, d) [10] = 0xff, [11] = 0xff, [12] = (a), [13] = (b), [14] = (c), [15] = (d)

static const struct rpd_endpoint endpoints[] = {
        V4(0),
        V4(127, 0, 0, 1),
        V4(127, 0, 0, 2),
        V4_LO(0),
        V4_LO(127, 0, 0, 1),
        V6(0, 0),
        V6(1, 0),
        V6_LO(0, 0),
        V6_LO(1, 0),
        V6(1, [15] = 1),
        V6_LO(1, [15] = 1),
        V6(0, MAPPED(127, 0, 0, 1)),
        V6(0, MAPPED(0, 0, 0, 0)),
        V6_LO(0, MAPPED(127, 0, 0, 1)),
};

/* What clients connect to. */
static const struct rpd_endpoint targets[] = {V4(127, 0, 0, 1), V4(127, 0, 0, 2), V6(0, [15] = 1)};

/* ---- Sockets ---- */

/* Makes a listener. Returns it, or a negative errno. @cgroup: of its socket; -1 = ours. */
static int open_listener(int cgroup, const struct rpd_endpoint *e)
{
	_cleanup_close_ int fd =
	        cgroup_socket(cgroup, e->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
	const int on = 1, v6only = e->v6only, ifindex = (int)e->ifindex;
	union endpoint_address address;
	const socklen_t length = endpoint_address_get(e, &address);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    (e->family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
	    (ifindex &&
	     setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0) ||
	    bind(fd, &address.sa, length) < 0 || listen(fd, 100) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Connects to @target, which fails at once if nothing listens there. */
static bool connect_to(const struct rpd_endpoint *target)
{
	_cleanup_close_ int fd = socket(target->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union endpoint_address address;
	const socklen_t length = endpoint_address_get(target, &address);

	return connect(fd, &address.sa, length) == 0;
}

static bool accepts(int listener)
{
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	return fd >= 0;
}

/* The targets that reach @listener, bit by bit. @other: another listener, or -1. */
static unsigned int reached(int listener, int other)
{
	unsigned int bits = 0;

	for (unsigned int t = 0; t < ARRAY_SIZE(targets); t++) {
		bool here = false;

		if (!connect_to(&targets[t]))
			continue;
		CHECK_UNTIL((here = accepts(listener)) || (other >= 0 && accepts(other)));
		bits |= (unsigned int)here << t;
	}
	return bits;
}

static const char *name_of(const struct rpd_endpoint *e, char *buf)
{
	const size_t used = strlen(endpoint_format(e, buf, ENDPOINT_TEXT_MAX));

	snprintf(buf + used, 16, "%s", e->v6only ? " (IPv6 only)" : "");
	return buf;
}

/* ---- The hook ---- */

static void hook_end(struct hook **hook)
{
	hook_free(*hook);
}

#define _cleanup_hook_ _cleanup_(hook_end)

static struct hook *attach(const struct cgroup_bed *bed)
{
	static const uint16_t ports[] = {PORT};
	struct hook *hook;
	struct error err;
	const int r = hook_attach(bed->fd, ports, ARRAY_SIZE(ports), &hook, &err);

	CHECK_MSG(r == 0, "%s", err.text);
	return hook;
}

static struct hook_listen last;
static unsigned int n_reports;

static void note(const struct hook_listen *listen, void *data)
{
	last = *listen;
	n_reports++;
}

static void serve(struct hook *hook, const struct rpd_endpoint *list, size_t n)
{
	struct error err;

	CHECK_EQ(hook_set_served(hook, list, n, &err), 0);
}

/* ---- The cases ---- */

/* Each pair of endpoints: the rule is true for what the second takes from the first. The rule is
 * also true for some pairs where the second takes nothing yet. */
static void kernel_prefers_as_the_rule_says(void)
{
	char a[ENDPOINT_TEXT_MAX + 16], b[ENDPOINT_TEXT_MAX + 16];
	unsigned int n_taken = 0, n_rule = 0;

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		for (size_t j = 0; j < ARRAY_SIZE(endpoints); j++) {
			const struct rpd_endpoint *e = &endpoints[i], *more = &endpoints[j];
			_cleanup_close_ int first = open_listener(-1, e);
			unsigned int alone, taken;
			_cleanup_close_ int second = -1;

			CHECK(first >= 0);
			alone = reached(first, -1);
			second = open_listener(-1, more);
			CHECK(second >= 0);
			if (endpoint_equal(e, more))
				continue;
			taken = reached(second, first) & alone;
			CHECK_MSG(!taken || endpoint_takes_from(more, e), "%s takes from %s",
			          name_of(more, a), name_of(e, b));
			n_taken += taken != 0;
			n_rule += endpoint_takes_from(more, e);
		}
	CHECK(n_taken > 40 && n_rule < 70);
}

/* What clients of the endpoint reach when nothing else listens. */
static unsigned int reached_alone(const struct rpd_endpoint *e)
{
	static const struct rpd_endpoint any6 = V6(0, 0);
	_cleanup_close_ int fd = open_listener(-1, e);

	CHECK(fd >= 0);
	/* One more target: all IPv6 addresses that the loopback device lacks. */
	return reached(fd, -1) | (unsigned int)endpoint_has_address(e, AF_INET6, any6.addr)
	                                 << ARRAY_SIZE(targets);
}

/* Each pair of endpoints: the first covers the second if all clients of the second reach it. These
 * clients use the loopback device: they reach what is bound to it, and others would not. */
static void kernel_covers_as_the_rule_says(void)
{
	char a[ENDPOINT_TEXT_MAX + 16], b[ENDPOINT_TEXT_MAX + 16];
	unsigned int all[ARRAY_SIZE(endpoints)];

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		CHECK((all[i] = reached_alone(&endpoints[i])) != 0);
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		for (size_t j = 0; j < ARRAY_SIZE(endpoints); j++) {
			const struct rpd_endpoint *one = &endpoints[i], *other = &endpoints[j];

			if (one->ifindex && !other->ifindex)
				CHECK(!endpoint_covers(one, other));
			else
				CHECK_MSG(endpoint_covers(one, other) == !(all[j] & ~all[i]),
				          "%s covers %s", name_of(one, a), name_of(other, b));
		}
}

/* Each pair of endpoints: the second is held if it would take connections from the first, which is
 * served. */
static void such_addresses_are_held(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = attach(&bed);
	char a[ENDPOINT_TEXT_MAX + 16], b[ENDPOINT_TEXT_MAX + 16];

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		for (size_t j = 0; j < ARRAY_SIZE(endpoints); j++) {
			const struct rpd_endpoint *e = &endpoints[i], *more = &endpoints[j];
			_cleanup_close_ int first = open_listener(-1, e);
			unsigned int alone = reached(first, -1);
			_cleanup_close_ int second = -1;

			serve(hook, e, 1);
			second = open_listener(bed.fd, more);
			n_reports = 0;
			CHECK(second >= 0 && hook_read_listens(hook, note, NULL) == HOOK_READ &&
			      n_reports == 1);
			CHECK_MSG(last.held == endpoint_takes_from(more, e), "%s beside %s",
			          name_of(more, a), name_of(e, b));
			CHECK(last.port == PORT && (!last.held || last.asked.port == PORT));
			if (last.held)
				CHECK_EQ(reached(second, first), 0);
			else if (!endpoint_equal(e, more))
				CHECK_EQ(reached(second, first) & alone, 0);
		}
}

/* What was asked for is reported, a mapped address as IPv4. */
static void report_of_a_held_listener(void)
{
	static const struct rpd_endpoint served = V6(0, 0);
	static const struct rpd_endpoint asked[] = {V4(127, 0, 0, 1), V4_LO(0), V6(1, [15] = 1),
	                                            V6(0, MAPPED(127, 0, 0, 1))};
	static const char *const texts[] = {"127.0.0.1:8080", "0.0.0.0:8080%1", "[::1]:8080",
	                                    "127.0.0.1:8080"};
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = attach(&bed);
	char text[ENDPOINT_TEXT_MAX];

	serve(hook, &served, 1);
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		_cleanup_close_ int fd = open_listener(bed.fd, &asked[i]);
		union endpoint_address address, is;
		socklen_t length = endpoint_address_get(&asked[i], &address), n = sizeof(is);
		uint64_t cookie;

		CHECK(fd >= 0 && sockdiag_socket_cookie(fd, &cookie) == 0);
		CHECK(getsockname(fd, &is.sa, &n) == 0 && n == length &&
		      !memcmp(&is, &address, length));
		CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && last.held &&
		      last.cookie == cookie);
		CHECK_MSG(!strcmp(endpoint_format(&last.asked, text, sizeof(text)), texts[i]), "%s",
		          text);
	}
}

/* An endpoint is not held, though another one covers it; nor is an address of another port. */
static void endpoints_are_not_held(void)
{
	static const struct rpd_endpoint served[] = {V6(0, 0), V4(127, 0, 0, 1), V4_LO(0)};
	struct rpd_endpoint other = V4(127, 0, 0, 1);
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = attach(&bed);
	_cleanup_close_ int fd = -1;

	serve(hook, served, ARRAY_SIZE(served));
	for (size_t i = 0; i < ARRAY_SIZE(served); i++) {
		_cleanup_close_ int one = open_listener(bed.fd, &served[i]);

		CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && !last.held);
		CHECK(reached(one, -1));
	}
	other.port = PORT + 1;
	fd = open_listener(bed.fd, &other);
	CHECK(fd >= 0);
}

/* The hook doesn't see the device of a link-local address: bind() takes it from sin6_scope_id. */
static void link_local_endpoint_is_not_held(void)
{
	static const struct rpd_endpoint served[] = {V6(0, 0), V6_LO(1, 0xfe, 0x80, [15] = 1)};
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = attach(&bed);
	_cleanup_close_ int anywhere =
	        open("/proc/sys/net/ipv6/ip_nonlocal_bind", O_WRONLY | O_CLOEXEC);

	CHECK(write(anywhere, "1", 1) == 1);
	serve(hook, served, ARRAY_SIZE(served));
	for (uint8_t i = 1; i < 3; i++) {
		_cleanup_close_ int fd =
		        cgroup_socket(bed.fd, AF_INET6, SOCK_STREAM | SOCK_CLOEXEC);
		struct sockaddr_in6 address = {
		        .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_scope_id = LO};

		memcpy(&address.sin6_addr, served[1].addr, sizeof(address.sin6_addr));
		address.sin6_addr.s6_addr[15] = i;
		CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		      listen(fd, 1) == 0);
		CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && last.held == (i == 2));
	}
}

/* A later supervisor finds the set that was recorded, and replaces it. */
static void served_set_is_replaced(void)
{
	static const struct rpd_endpoint any = V4(0), specific = V4(127, 0, 0, 1);
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = attach(&bed);

	serve(hook, &any, 1);
	hook_free(hook);
	hook = attach(&bed);
	for (int i = 0; i < 3; i++) {
		_cleanup_close_ int fd = open_listener(bed.fd, &specific);

		CHECK(fd >= 0 && hook_read_listens(hook, note, NULL) == HOOK_READ &&
		      last.held == (i == 0));
		serve(hook, &specific, i > 0);
	}
}

/* ---- Under load ---- */

static const struct rpd_endpoint loaded = V6(0, 0);

/* Accepts all connections, and answers them. */
static void run_server(int listener)
{
	fcntl(listener, F_SETFL, 0);
	for (;;) {
		_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			(void)!write(fd, "a", 1);
	}
}

/* Connects over and over, and counts the answers, and what else happens. */
static void run_client(int unused)
{
	for (unsigned int i = 0; !shared->stop; i++) {
		const struct rpd_endpoint *target = &targets[i % ARRAY_SIZE(targets)];
		_cleanup_close_ int fd = socket(target->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		union endpoint_address address;
		const socklen_t length = endpoint_address_get(target, &address);
		char answer;

		if (connect(fd, &address.sa, length) == 0 && read(fd, &answer, 1) == 1 &&
		    answer == 'a')
			shared->fd++;
		else
			shared->error++;
	}
	shared->stop = false;
}

/* Tries the port on all addresses, as some programs do, while clients connect. */
static void tries_take_no_connection(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = attach(&bed);
	_cleanup_close_ int served = open_listener(-1, &loaded);
	int tries = 0;

	CHECK(served >= 0);
	serve(hook, &loaded, 1);
	children_start(run_server, served);
	children_start(run_client, 0);
	for (; shared->fd < 1000 || tries < 300; tries++) {
		const struct rpd_endpoint *e = &endpoints[tries % ARRAY_SIZE(endpoints)];
		_cleanup_close_ int fd = -1;

		if (!endpoint_takes_from(e, &loaded))
			continue;
		fd = open_listener(bed.fd, e);
		CHECK(fd >= 0 && !accepts(fd));
		CHECK_EQ(shared->error, 0);
	}
	shared->stop = true;
	CHECK_UNTIL(!shared->stop);
	CHECK_EQ(shared->error, 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(kernel_prefers_as_the_rule_says),
	        CHECK_CASE(such_addresses_are_held),
	        CHECK_CASE(kernel_covers_as_the_rule_says),
	        CHECK_CASE(report_of_a_held_listener),
	        CHECK_CASE(endpoints_are_not_held),
	        CHECK_CASE(link_local_endpoint_is_not_held),
	        CHECK_CASE(served_set_is_replaced),
	        CHECK_CASE(tries_take_no_connection),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
