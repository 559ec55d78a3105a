/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/guard and kern/cgroup_socket: what the socket options that change the program of a reuseport
 * group do to sockets of a cgroup. Needs root. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <reuseportd/guard_abi.h>

#include "base/cleanup.h"
#include "beds/cgroup_bed.h"
#include "check/check.h"
#include "kern/cgroup_socket.h"
#include "kern/guard.h"
#include "kern/sockdiag.h"

#define PORT  8080
#define OTHER 9090
#define KEY   0x123456789abcdef0ull

static const uint16_t ports[] = {80, PORT};
static const int on = 1;

static void guard_end(struct guard **guard)
{
	guard_free(*guard);
}

#define _cleanup_guard_ _cleanup_(guard_end)

static struct guard *guard(const struct cgroup_bed *bed)
{
	struct guard *it;
	struct error err;
	const int r = guard_attach(bed->fd, ports, ARRAY_SIZE(ports), KEY, &it, &err);

	CHECK_MSG(r == 0, "%s", err.text);
	return it;
}

/* ---- Sockets ---- */

static int make(int cgroup, int type)
{
	const int fd = cgroup_socket(cgroup, AF_INET, type | SOCK_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	return fd;
}

static int open_port(int fd, uint16_t port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 5) < 0
	               ? -errno
	               : 0;
}

static int make_listener(int cgroup, uint16_t port)
{
	const int fd = make(cgroup, SOCK_STREAM);

	CHECK_EQ(open_port(fd, port), 0);
	return fd;
}

/* ---- Options ---- */

static int set(int fd, int option, const void *value, socklen_t size)
{
	return setsockopt(fd, SOL_SOCKET, option, value, size) < 0 ? -errno : 0;
}

static int attach_classic(int fd)
{
	struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	const struct sock_fprog program = {1, first};

	return set(fd, GUARD_ATTACH_CBPF, &program, sizeof(program));
}

/* The program of an eBPF group: a socket filter is allowed, too. */
static int load(void)
{
	static const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K},
	                                        {.code = BPF_JMP | BPF_EXIT}};

	return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "check", "GPL", insns, ARRAY_SIZE(insns),
	                     NULL);
}

static int attach_extended(int fd)
{
	_cleanup_close_ int program = load();

	return set(fd, GUARD_ATTACH_EBPF, &program, sizeof(program));
}

static int detach(int fd)
{
	return set(fd, GUARD_DETACH, &on, sizeof(on));
}

static int attach_with_key(int fd, uint64_t key)
{
	_cleanup_close_ int program = load();
	const struct guard_value value = {(uint32_t)program, {(uint32_t)key, key >> 32}};

	return set(fd, GUARD_ATTACH_EBPF, &value, sizeof(value));
}

/* Whether the group had a program. It has none afterwards. */
static bool had_program(int fd)
{
	const struct guard_value value = {0, {(uint32_t)KEY, KEY >> 32}};
	const int r = set(fd, GUARD_DETACH, &value, sizeof(value));

	CHECK(r == 0 || r == -ENOENT);
	return r == 0;
}

static const char *reported;
static unsigned int n_reported;

static void note(const struct guard_attempt *attempt, void *data)
{
	reported = attempt->option;
	n_reported++;
}

/* ---- The cases ---- */

/* The kernel's rule that the guard has to know. */
static void own_program_keeps_out_of_a_group(void)
{
	_cleanup_close_ int first = make_listener(-1, PORT);
	_cleanup_close_ int second = make(-1, SOCK_STREAM);

	CHECK_EQ(attach_classic(second), 0);
	CHECK_EQ(open_port(second, PORT), -EADDRINUSE);
	CHECK(!had_program(first));
}

static void program_stays(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *it = guard(&s);
	_cleanup_close_ int fd = make_listener(s.fd, PORT);

	CHECK(guard_fd(it) >= 0);
	CHECK_EQ(attach_with_key(fd, KEY), 0);
	CHECK_EQ(detach(fd), 0);
	CHECK_EQ(attach_with_key(fd, KEY + 1), 0);
	CHECK(had_program(fd) && !had_program(fd));
	CHECK_EQ(attach_classic(fd), 0);
	CHECK_EQ(attach_extended(fd), 0);
	CHECK_EQ(attach_with_key(fd, KEY + 1), 0);
	CHECK(!had_program(fd));
}

static void before_bind(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *it = guard(&s);
	_cleanup_close_ int first = make_listener(s.fd, PORT);
	_cleanup_close_ int second = make(s.fd, SOCK_STREAM);
	_cleanup_close_ int third = make(s.fd, SOCK_STREAM);

	CHECK(guard_fd(it) >= 0);
	CHECK_EQ(attach_classic(second), 0);
	CHECK_EQ(open_port(second, PORT), 0);
	CHECK_EQ(attach_extended(third), 0);
	CHECK_EQ(open_port(third, PORT), 0);
	CHECK(!had_program(first));
}

static void other_sockets_are_free(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *it = guard(&s);
	_cleanup_close_ int other_port = make_listener(s.fd, OTHER);
	_cleanup_close_ int outside = make_listener(-1, PORT);
	_cleanup_close_ int udp = make(s.fd, SOCK_DGRAM);

	CHECK(open_port(udp, PORT) == -EOPNOTSUPP);
	CHECK(attach_classic(udp) == 0 && had_program(udp));
	CHECK(attach_classic(other_port) == 0 && detach(other_port) == 0 &&
	      detach(other_port) == -ENOENT);
	CHECK(attach_extended(outside) == 0 && had_program(outside));
	guard_read_attempts(it, note, NULL);
	CHECK_EQ(n_reported, 0);
}

/* The kernel refuses values of more than a page, unless the program says otherwise. */
static void large_values_pass(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *it = guard(&s);
	_cleanup_close_ int fd = make(s.fd, SOCK_STREAM);
	char value[100000] = {1};
	int is = 0;
	socklen_t size = sizeof(is);

	CHECK(guard_fd(it) >= 0);
	for (socklen_t n = sizeof(int); n <= sizeof(value); n *= 3) {
		CHECK_EQ(set(fd, SO_KEEPALIVE, value, n), 0);
		CHECK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &is, &size) == 0 && is == 1);
		CHECK_EQ(set(fd, SO_KEEPALIVE, &(int){0}, sizeof(int)), 0);
	}
	CHECK_EQ(set(fd, SO_KEEPALIVE, value, 1), -EINVAL);
}

static void attempts_are_reported_once(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *it = guard(&s);
	_cleanup_close_ int fd = make_listener(s.fd, PORT);

	n_reported = 0;
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(detach(fd), 0);
	guard_read_attempts(it, note, NULL);
	CHECK_EQ(n_reported, 1);
	CHECK(!strcmp(reported, "SO_DETACH_REUSEPORT_BPF"));
}

static int reuseport_of(int fd)
{
	int is = -1;
	socklen_t size = sizeof(is);

	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &is, &size), 0);
	return is;
}

/* A socket that is bound to a port of the service stays in its group, and on all devices. */
static void leaving_the_group(void)
{
	static const int off, lo = 1;
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *it = guard(&s);
	_cleanup_close_ int unbound = make(s.fd, SOCK_STREAM);
	_cleanup_close_ int other = make_listener(s.fd, OTHER);
	_cleanup_close_ int udp = make(s.fd, SOCK_DGRAM);
	_cleanup_close_ int fd = make_listener(s.fd, PORT);
	const int free_ones[] = {unbound, other, udp};

	n_reported = 0;
	CHECK_EQ(open_port(udp, PORT), -EOPNOTSUPP);
	for (size_t i = 0; i < ARRAY_SIZE(free_ones); i++) {
		CHECK_EQ(set(free_ones[i], SO_REUSEPORT, &off, sizeof(off)), 0);
		CHECK_EQ(reuseport_of(free_ones[i]), 0);
		CHECK_EQ(set(free_ones[i], SO_BINDTODEVICE, "lo", sizeof("lo")), 0);
	}
	guard_read_attempts(it, note, NULL);
	CHECK_EQ(n_reported, 0);
	CHECK_EQ(set(fd, SO_REUSEPORT, &off, sizeof(off)), 0);
	CHECK_EQ(reuseport_of(fd), 1);
	CHECK_EQ(set(fd, SO_BINDTODEVICE, "lo", sizeof("lo")), -EPERM);
	CHECK_EQ(set(fd, GUARD_IFINDEX, &lo, sizeof(lo)), -EPERM);
	CHECK_EQ(set(fd, SO_REUSEPORT, &on, sizeof(on)), 0);
	guard_read_attempts(it, note, NULL);
	CHECK(n_reported == 1 && !strcmp(reported, "SO_REUSEPORT"));
}

static void guard_outlives_the_supervisor(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_guard_ struct guard *next = NULL;
	_cleanup_close_ int fd = make_listener(s.fd, PORT);

	guard_free(guard(&s));
	CHECK(attach_classic(fd) == 0 && !had_program(fd));
	next = guard(&s);
	CHECK(attach_classic(fd) == 0 && !had_program(fd));
	guard_detach(s.fd);
	CHECK(attach_classic(fd) == 0 && had_program(fd));
}

/* It belongs to the cgroup of the process that has made it. */
static void socket_of_a_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	_cleanup_close_ int there = make_listener(worker, PORT);
	_cleanup_close_ int here = make_listener(-1, PORT);
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err;
	uint64_t cookie;
	size_t n;

	CHECK_EQ(cgroup_socket(worker, AF_INET, -1), -EINVAL);
	CHECK_EQ(cgroup_socket(here, AF_INET, SOCK_STREAM), -EBADF);
	CHECK_EQ(sockdiag_socket_cookie(there, &cookie), 0);
	CHECK_EQ(sockdiag_list_listeners(PORT, &listeners, &n, &err), 0);
	CHECK_EQ(n, 2);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(listeners[i].cgroup == cgroup_id(worker), listeners[i].cookie == cookie);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(own_program_keeps_out_of_a_group),
	        CHECK_CASE(program_stays),
	        CHECK_CASE(before_bind),
	        CHECK_CASE(other_sockets_are_free),
	        CHECK_CASE(large_values_pass),
	        CHECK_CASE(attempts_are_reported_once),
	        CHECK_CASE(leaving_the_group),
	        CHECK_CASE(guard_outlives_the_supervisor),
	        CHECK_CASE(socket_of_a_cgroup),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
