/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/hook against programs that bind without SO_REUSEPORT. Needs root. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/cleanup.h"
#include "beds/binder.h"
#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "check/check.h"
#include "kern/hook.h"
#include "kern/sockdiag.h"

#define MANY 3000 /* listeners, more than fit in the ring */

/* ---- What children do ---- */

static const struct binder_order hammered = {.family = AF_INET, .port = 8080};

/* Binds to the port over and over. The port is always taken, and is always to be shared. */
static void run_hammer(int cgroup)
{
	cgroup_bed_enter(cgroup);
	while (!shared->stop) {
		_cleanup_close_ int fd = socket(hammered.family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (binder_bind(fd, &hammered) < 0) {
			shared->error = errno;
			break;
		}
		shared->fd++;
	}
	shared->stop = false;
}

static void run_many(int cgroup)
{
	cgroup_bed_enter(cgroup);
	for (int i = 0; i < MANY; i++) {
		_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		const struct binder_order order = {.family = AF_INET,
		                                   .port = (uint16_t)(10000 + i)};

		shared->fd += binder_bind(fd, &order) == 0 && listen(fd, 1) == 0;
	}
	shared->stop = true;
	children_hold(-1);
}

/* A supervisor that attaches, and then is killed. */
static void run_attach(int cgroup)
{
	struct hook *hook;
	struct error err;

	shared->error = hook_attach(cgroup, NULL, 0, &hook, &err);
	shared->stop = true;
	children_hold(-1);
}

static void run_attach_as_nobody(int cgroup)
{
	struct hook *hook;
	struct error err = {0};

	if (setuid(65534) == 0)
		shared->error = hook_attach(cgroup, NULL, 0, &hook, &err);
	memcpy(shared->text, err.text, sizeof(err.text));
	shared->stop = true;
}

/* ---- The cases ---- */

static void hook_end(struct hook **hook)
{
	hook_free(*hook);
}

#define _cleanup_hook_ _cleanup_(hook_end)

/* The reports, in order. */
static struct hook_listen reports[MANY];
static size_t n_reports;

static void note(const struct hook_listen *listen, void *data)
{
	if (n_reports < ARRAY_SIZE(reports))
		reports[n_reports++] = *listen;
}

static bool is_readable(const struct hook *hook)
{
	struct pollfd pollfd = {.fd = hook_fd(hook), .events = POLLIN};

	return poll(&pollfd, 1, 0) == 1;
}

static bool report_is(size_t i, const struct binder_result *o, int cgroup)
{
	const uint64_t id = cgroup < 0 ? 0 : cgroup_id(cgroup);

	return i < n_reports && reports[i].cookie == o->cookie && reports[i].port == o->port &&
	       reports[i].cgroup == id;
}

/* Attaches the programs, and forgets earlier reports. */
static int attach(const struct cgroup_bed *s, const uint16_t *ports, size_t n, struct hook **hook)
{
	struct error err;
	const int r = hook_attach(s->fd, ports, n, hook, &err);

	n_reports = 0;
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r;
}

/* Two processes, each in a child of the cgroup with the programs, listen on one port, which they do
 * not share otherwise. */
static void share(int family)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int a = cgroup_bed_worker(&s, "0-1");
	_cleanup_close_ int b = cgroup_bed_worker(&s, "1-2");
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_result first, second, outside;
	const uint16_t port = 8080;

	CHECK(a >= 0 && b >= 0 && attach(&s, NULL, 0, &hook) == 0);
	CHECK(!is_readable(hook));
	first = binder_open((struct binder_order){.cgroup = a, .family = family, .port = port});
	second = binder_open((struct binder_order){.cgroup = b, .family = family, .port = port});
	CHECK(first.error == 0 && second.error == 0 && second.port == port);
	outside = binder_open((struct binder_order){.cgroup = -1, .family = family, .port = port});
	CHECK(outside.error == -EADDRINUSE);
	CHECK(is_readable(hook) && hook_read_listens(hook, note, NULL) == HOOK_READ &&
	      !is_readable(hook));
	CHECK(n_reports == 2 && report_is(0, &first, a) && report_is(1, &second, b));
}

static void shared_port_v4(void)
{
	share(AF_INET);
}

static void shared_port_v6(void)
{
	share(AF_INET6);
}

static void only_named_ports_are_shared(void)
{
	static const uint16_t ports[] = {80, 8080};
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	uint16_t too_many[RPD_ENDPOINT_MAX + 1] = {0};
	struct error err = {0};

	CHECK(hook_attach(s.fd, too_many, ARRAY_SIZE(too_many), &hook, &err) == -EINVAL);
	CHECK(attach(&s, ports, ARRAY_SIZE(ports), &hook) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(binder_open((struct binder_order){.cgroup = s.fd, .port = 8080}).error == 0);
	CHECK(binder_open((struct binder_order){.cgroup = s.fd, .port = 9090}).error == 0);
	CHECK(binder_open((struct binder_order){.cgroup = s.fd, .port = 9090}).error ==
	      -EADDRINUSE);
	CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && n_reports == 2 &&
	      reports[0].port == 8080 && reports[1].port == 8080);
}

/* An unprivileged process may bind a named port, and no other privileged port. */
static void privileged(int family)
{
	static const uint16_t ports[] = {80};
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_order o = {.cgroup = s.fd, .family = family, .port = 80, .nobody = true};

	CHECK(attach(&s, NULL, 0, &hook) == 0);
	CHECK(binder_open(o).error == -EACCES);
	hook_free(hook);
	hook = NULL;
	CHECK(attach(&s, ports, ARRAY_SIZE(ports), &hook) == 0);
	CHECK(binder_open(o).error == 0 && binder_open(o).error == 0);
	o.port = 81;
	CHECK(binder_open(o).error == -EACCES);
	o.type = SOCK_DGRAM;
	o.port = 80;
	CHECK(binder_open(o).error == -EACCES);
}

static void privileged_port_v4(void)
{
	privileged(AF_INET);
}

static void privileged_port_v6(void)
{
	privileged(AF_INET6);
}

static bool is_refusal(int error)
{
	return error == -EOPNOTSUPP || error == -EPERM; /* the latter before Linux 6.1 */
}

/* Newer Go programs listen with MPTCP, and with TCP if that is refused. MPTCP is refused on a
 * shared port only. */
static void mptcp(int family)
{
	static const uint16_t ports[] = {8080};
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_order o = {.cgroup = s.fd, .family = family, .protocol = IPPROTO_MPTCP};
	struct binder_result refused, other, free_one;

	CHECK(attach(&s, ports, ARRAY_SIZE(ports), &hook) == 0);
	free_one = binder_open(o);
	if (free_one.error == -EPROTONOSUPPORT)
		check_skip("this kernel has no MPTCP");
	o.port = 8080;
	refused = binder_open(o);
	o.port = 9090;
	other = binder_open(o);
	CHECK(is_refusal(refused.error) && other.error == 0 && free_one.error == 0);
	CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && n_reports == 1);
	CHECK(reports[0].refused && reports[0].port == 8080 &&
	      reports[0].cgroup == cgroup_id(s.fd));
}

static void mptcp_is_refused_v4(void)
{
	mptcp(AF_INET);
}

static void mptcp_is_refused_v6(void)
{
	mptcp(AF_INET6);
}

/* If all ports are shared, MPTCP is refused on all. */
static void mptcp_is_refused_on_all_ports(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_order o = {.cgroup = s.fd, .protocol = IPPROTO_MPTCP, .port = 8080};
	int error;

	CHECK(attach(&s, NULL, 0, &hook) == 0);
	error = binder_open(o).error;
	CHECK(error == -EPROTONOSUPPORT || is_refusal(error));
	o.protocol = 0;
	CHECK(binder_open(o).error == 0 && binder_open(o).error == 0);
}

/* A port that the kernel chose is not shared, whether by bind() or by listen(), nor reported. */
static void any_free_port_is_not_shared(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_result any, unbound;

	CHECK(attach(&s, NULL, 0, &hook) == 0);
	any = binder_open((struct binder_order){.cgroup = s.fd});
	unbound = binder_open((struct binder_order){.cgroup = s.fd, .unbound = true});
	CHECK(any.error == 0 && unbound.error == 0);
	CHECK(!is_readable(hook));
	CHECK(binder_open((struct binder_order){.cgroup = s.fd, .port = any.port}).error ==
	      -EADDRINUSE);
}

static void udp_is_shared(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	const struct binder_order udp = {.cgroup = s.fd, .type = SOCK_DGRAM, .port = 53};

	CHECK(binder_open(udp).error == 0 && binder_open(udp).error == -EADDRINUSE);
	children_end();
	CHECK(attach(&s, NULL, 0, &hook) == 0);
	CHECK(binder_open(udp).error == 0 && binder_open(udp).error == 0);
	CHECK(!is_readable(hook));
}

static const enum bpf_attach_type types[] = {
        BPF_CGROUP_INET4_BIND,        BPF_CGROUP_INET6_BIND,        BPF_CGROUP_SOCK_OPS,
        BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME};

/* Returns how many programs of a type the cgroup has, and the id of the first. */
static uint32_t n_programs(int cgroup, enum bpf_attach_type type, uint32_t *ret_id)
{
	uint32_t ids[64] = {0}, n = ARRAY_SIZE(ids);

	if (bpf_prog_query(cgroup, type, 0, NULL, ids, &n) < 0)
		return 99;
	*ret_id = ids[0];
	return n;
}

static bool program_is_gone(uint32_t id)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

	return fd < 0 && errno == ENOENT;
}

/* The programs of a new supervisor replace the old ones. No bind() comes in between. */
static void replaced_programs_leave_no_gap(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	uint32_t id, before[ARRAY_SIZE(types)];
	int binds;

	CHECK(attach(&s, NULL, 0, &hook) == 0);
	CHECK(binder_open((struct binder_order){.cgroup = s.fd, .port = 8080}).error == 0);
	children_start(run_hammer, s.fd);
	CHECK_UNTIL(shared->fd > 100);
	for (int i = 0; i < 20; i++) {
		for (size_t t = 0; t < ARRAY_SIZE(types); t++)
			n_programs(s.fd, types[t], &before[t]);
		hook_free(hook);
		hook = NULL;
		CHECK(attach(&s, NULL, 0, &hook) == 0);
		for (size_t t = 0; t < ARRAY_SIZE(types); t++)
			CHECK(n_programs(s.fd, types[t], &id) == 1 && id != before[t]);
		binds = shared->fd;
		CHECK_UNTIL(shared->error || shared->fd > binds + 100);
		CHECK(shared->error == 0);
	}
	shared->stop = true;
	CHECK_UNTIL(!shared->stop);
	CHECK(shared->error == 0);
}

/* One process binds before and listens after the replacement; another listens while no supervisor
 * reads reports. */
static void bound_before_the_replacement(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_result between, late;

	CHECK(attach(&s, NULL, 0, &hook) == 0);
	between = binder_open((struct binder_order){.cgroup = s.fd, .port = 8080});
	late = binder_open((struct binder_order){.cgroup = s.fd, .port = 9090, .late = true});
	CHECK(between.error == 0 && late.bound);
	hook_free(hook);
	hook = NULL;
	CHECK(attach(&s, NULL, 0, &hook) == 0);
	CHECK(is_readable(hook));
	shared->fd = 1;
	late = binder_finish();
	CHECK(late.error == 0 && hook_read_listens(hook, note, NULL) == HOOK_READ &&
	      n_reports == 2);
	CHECK(report_is(0, &between, s.fd) && report_is(1, &late, s.fd));
}

/* The programs outlive the process that attached them, and go with the cgroup. */
static void programs_outlive_the_supervisor(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	const struct binder_order o = {.cgroup = s.fd, .port = 8080};
	uint32_t ids[ARRAY_SIZE(types)];

	CHECK(s.fd >= 0);
	children_start(run_attach, s.fd);
	CHECK_UNTIL(shared->stop);
	CHECK(shared->error == 0);
	children_end();
	CHECK(binder_open(o).error == 0 && binder_open(o).error == 0);
	CHECK(attach(&s, NULL, 0, &hook) == 0);
	CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && n_reports == 2);
	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		CHECK(n_programs(s.fd, types[t], &ids[t]) == 1);
	hook_free(hook);
	hook = NULL;
	cgroup_bed_end(&s);
	s.fd = -1;
	children_end(); /* their sockets held the cgroup */
	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		CHECK_UNTIL(program_is_gone(ids[t]));
}

/* Programs of others stay. */
static void detach_leaves_other_programs(void)
{
	static const struct bpf_insn allow[] = {
	        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
	        {.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_BIND);
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	_cleanup_close_ int other = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "other", "GPL",
	                                          allow, ARRAY_SIZE(allow), &opts);
	const struct binder_order o = {.cgroup = s.fd, .port = 8080};
	uint32_t id, ours;

	CHECK(bpf_prog_attach(other, s.fd, BPF_CGROUP_INET4_BIND, BPF_F_ALLOW_MULTI) == 0);
	CHECK(attach(&s, NULL, 0, &hook) == 0);
	CHECK(n_programs(s.fd, BPF_CGROUP_INET4_BIND, &id) == 2);
	CHECK(binder_open(o).error == 0 && binder_open(o).error == 0);
	hook_detach(s.fd);
	CHECK(n_programs(s.fd, BPF_CGROUP_INET4_BIND, &ours) == 1 && ours == id);
	for (size_t t = 1; t < ARRAY_SIZE(types); t++)
		CHECK(n_programs(s.fd, types[t], &ours) == 0);
	CHECK(binder_open(o).error == -EADDRINUSE);
}

static void lost_reports_are_noticed(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_hook_ struct hook *hook = NULL;
	struct binder_result after;

	CHECK(attach(&s, NULL, 0, &hook) == 0);
	children_start(run_many, s.fd);
	CHECK_UNTIL(shared->stop);
	CHECK(shared->fd == MANY && hook_read_listens(hook, note, NULL) == HOOK_LOST);
	while (is_readable(hook)) {
		const size_t before = n_reports;

		CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ);
		CHECK(n_reports > before && n_reports - before < MANY / 3);
	}
	CHECK(n_reports > 1000 && n_reports < MANY);
	n_reports = 0;
	after = binder_open((struct binder_order){.cgroup = s.fd, .port = 8080});
	CHECK(hook_read_listens(hook, note, NULL) == HOOK_READ && n_reports == 1);
	CHECK(report_is(0, &after, s.fd));
}

static void attach_without_capability(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();

	children_start(run_attach_as_nobody, s.fd);
	CHECK_UNTIL(shared->stop);
	CHECK(shared->error == -EPERM && strstr(shared->text, "CAP_NET_ADMIN"));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(shared_port_v4),
	        CHECK_CASE(shared_port_v6),
	        CHECK_CASE(only_named_ports_are_shared),
	        CHECK_CASE(privileged_port_v4),
	        CHECK_CASE(privileged_port_v6),
	        CHECK_CASE(mptcp_is_refused_v4),
	        CHECK_CASE(mptcp_is_refused_v6),
	        CHECK_CASE(mptcp_is_refused_on_all_ports),
	        CHECK_CASE(any_free_port_is_not_shared),
	        CHECK_CASE(udp_is_shared),
	        CHECK_CASE(replaced_programs_leave_no_gap),
	        CHECK_CASE(bound_before_the_replacement),
	        CHECK_CASE(programs_outlive_the_supervisor),
	        CHECK_CASE(detach_leaves_other_programs),
	        CHECK_CASE(lost_reports_are_noticed),
	        CHECK_CASE(attach_without_capability),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
