/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/sockdiag against real listeners. Needs root. */
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "check_discovery.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"
#include "kern/proc_holders.h"

static int client_connect(const struct rpd_endpoint *e)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};

	memcpy(&in.sin_addr, e->addr, sizeof(in.sin_addr));
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		return -1;
	return socket_keep(TAKE_FD(fd));
}

static const struct listener *find_listener(const struct listener *rows, size_t n, int fd)
{
	uint64_t cookie = 0;

	sockdiag_socket_cookie(fd, &cookie);
	for (size_t i = 0; i < n; i++)
		if (rows[i].cookie == cookie)
			return &rows[i];
	return NULL;
}

/* How many wait at a listener of ours. */
static uint32_t queue_of(uint16_t port, int fd)
{
	_cleanup_free_ struct listener *rows = NULL;
	const struct listener *l;
	struct error err;
	size_t n;

	if (sockdiag_list_listeners(port, &rows, &n, &err) < 0)
		return UINT32_MAX;
	l = find_listener(rows, n, fd);
	return l ? l->queue : UINT32_MAX;
}

static void case_fields(void)
{
	/* Overlapping addresses have to have one uid; a socket that is bound to an IPv6 address
	 * is v6only, whatever it asked for. */
	struct rpd_endpoint endpoints[] = {
	        {.family = AF_INET, .uid = 1234},
	        {.family = AF_INET, .uid = 1234, .addr = {127, 0, 0, 1}},
	        {.family = AF_INET, .uid = 1234, .ifindex = LOOPBACK},
	        {.family = AF_INET6, .uid = 1234},
	        {.family = AF_INET6, .uid = 1234, .v6only = 1},
	        {.family = AF_INET6, .uid = 1234, .v6only = 1, .addr = {[15] = 1}},
	};
	int fds[ARRAY_SIZE(endpoints)];
	_cleanup_free_ struct listener *rows = NULL;
	struct error err;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
		endpoints[i].port = endpoints[0].port;
		fds[i] = listener_open(&endpoints[i], 10 + (int)i);
		CHECK(fds[i] >= 0);
	}
	for (int i = 0; i < 3; i++)
		CHECK(client_connect(&(struct rpd_endpoint){.port = endpoints[0].port,
		                                            .addr = {127, 0, 0, 1}}) >= 0);
	/* The kernel may handle the last ACK a moment after the client has its connection. */
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		if (endpoints[i].addr[0] == 127)
			CHECK_COMES(queue_of(endpoints[0].port, fds[i]) == 3);

	CHECK(sockdiag_list_listeners(endpoints[0].port, &rows, &n, &err) == 0);
	CHECK(n == ARRAY_SIZE(endpoints));
	for (size_t i = 0; i < n; i++) {
		const struct listener *l = find_listener(rows, n, fds[i]);

		CHECK(l && endpoint_equal(&l->endpoint, &endpoints[i]));
		CHECK(l->inode == inode_of(fds[i]));
		CHECK(l->backlog == 10 + i);
		CHECK(l->queue == (endpoints[i].addr[0] == 127 ? 3 : 0));
	}
}

static void case_port(void)
{
	struct rpd_endpoint a = loopback(), b = loopback(), c = {.family = AF_INET6};
	const int fds[] = {listener_open(&a, 1), listener_open(&b, 1), listener_open(&c, 1)};
	_cleanup_free_ struct listener *one = NULL;
	_cleanup_free_ struct listener *all = NULL;
	struct error err;
	size_t n_one, n_all;

	CHECK(fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0);
	CHECK(sockdiag_list_listeners(b.port, &one, &n_one, &err) == 0);
	CHECK(n_one == 1 && find_listener(one, n_one, fds[1]));
	CHECK(sockdiag_list_listeners(0, &all, &n_all, &err) == 0);
	CHECK(n_all == 3);
}

static void case_nobody(void)
{
	struct rpd_endpoint e = loopback();
	_cleanup_free_ struct listener *rows = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	const struct listener gone = {.inode = UINT32_MAX};
	struct error err;
	size_t n = 9;

	CHECK(sockdiag_list_listeners(1, &rows, &n, &err) == 0 && n == 0 && !rows);
	n = 9;
	CHECK(proc_holders_find(NULL, 0, &holders, &n, &err) == 0 && n == 0 && !holders);
	n = 9;
	CHECK(proc_holders_find(&gone, 1, &holders, &n, &err) == 0 && n == 0 && !holders);

	/* Our own process has it open, and does not count. */
	CHECK(listener_open(&e, 1) >= 0);
	CHECK(sockdiag_list_listeners(e.port, &rows, &n, &err) == 0 && n == 1);
	CHECK(proc_holders_find(rows, n, &holders, &n, &err) == 0 && n == 0);
}

static void case_thousand(void)
{
	struct rpd_endpoint v4 = {.family = AF_INET}, v6 = {.family = AF_INET6, .v6only = 1};
	_cleanup_free_ struct listener *rows = NULL;
	struct error err;
	size_t n;

	for (int i = 0; i < RPD_SLOT_MAX; i++) {
		CHECK(listener_open(&v4, 1) >= 0);
		v6.port = v4.port;
		CHECK(listener_open(&v6, 1) >= 0);
	}
	CHECK(sockdiag_list_listeners(v4.port, &rows, &n, &err) == 0);
	CHECK(n == 2 * RPD_SLOT_MAX);
	for (size_t i = 1; i < n; i++)
		CHECK(rows[i - 1].cookie < rows[i].cookie);
	for (size_t i = 0; i < n_sockets; i += 97)
		CHECK(find_listener(rows, n, sockets[i]));
}

/* A process that keeps starting and stopping to listen, in the middle of the others. */
static void run_come_and_go(int fd)
{
	struct rpd_endpoint e = {.family = AF_INET};
	struct sockaddr_in in;
	socklen_t length = sizeof(in);
	int guest[8];

	getsockname(fd, (struct sockaddr *)&in, &length);
	e.port = ntohs(in.sin_port);
	for (size_t i = 0;; i++) {
		if (i >= ARRAY_SIZE(guest))
			close(guest[i % ARRAY_SIZE(guest)]);
		n_sockets = 0; /* we close them ourselves */
		guest[i % ARRAY_SIZE(guest)] = listener_open(&e, 1);
		shared->fd = (int)i;
	}
}

static void case_come_and_go(void)
{
	enum { RESIDENTS = 1000, LOOKS = 300 };
	struct rpd_endpoint e = {.family = AF_INET};

	for (int i = 0; i < RESIDENTS; i++)
		CHECK(listener_open(&e, 1) >= 0);
	child_start(run_come_and_go, sockets[0]);
	CHECK_COMES(shared->fd > 100);
	for (int look = 0; look < LOOKS; look++) {
		_cleanup_free_ struct listener *rows = NULL;
		struct error err;
		size_t n;

		CHECK(sockdiag_list_listeners(e.port, &rows, &n, &err) == 0);
		for (size_t i = 0; i < RESIDENTS; i++)
			CHECK(find_listener(rows, n, sockets[i]));
	}
}

static void case_garbage(void)
{
	static const struct {
		size_t at; /* what is wrong: this byte */
		uint8_t value;
	} wrong[] = {
	        {offsetof(struct nlmsghdr, nlmsg_type), 0},
	        {offsetof(struct nlmsghdr, nlmsg_len),
	         NLMSG_LENGTH(sizeof(struct inet_diag_msg)) - 1},
	        {NLMSG_HDRLEN + offsetof(struct inet_diag_msg, idiag_family), AF_UNIX},
	        {NLMSG_HDRLEN + offsetof(struct inet_diag_msg, idiag_state), 1},
	};
	struct {
		struct nlmsghdr header;
		struct inet_diag_msg body;
		struct nlattr attr;
		uint8_t v6only[4];
		struct nlattr cgroup_attr;
		uint32_t cgroup[2];
	} good = {
	        .header = {.nlmsg_len = sizeof(good), .nlmsg_type = SOCK_DIAG_BY_FAMILY},
	        .body = {.idiag_family = AF_INET6, .idiag_state = 10, .id.idiag_cookie = {1, 2}},
	        .attr = {.nla_len = NLA_HDRLEN + 1, .nla_type = INET_DIAG_SKV6ONLY},
	        .v6only = {1},
	        .cgroup_attr = {.nla_len = NLA_HDRLEN + 8, .nla_type = INET_DIAG_CGROUP_ID},
	        .cgroup = {3, 4},
	};
	uint64_t cgroup;
	struct listener l = {.inode = 77}, untouched = l;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		typeof(good) bad = good;

		((uint8_t *)&bad)[wrong[i].at] = wrong[i].value;
		CHECK(sockdiag_decode_listener(&bad.header, &l) == -EBADMSG);
		CHECK(memcmp(&l, &untouched, sizeof(l)) == 0);
	}
	CHECK(sockdiag_decode_listener(&good.header, &l) == 0);
	CHECK(l.cookie == (2ull << 32 | 1) && l.endpoint.v6only);
	memcpy(&cgroup, good.cgroup, sizeof(cgroup));
	CHECK(l.cgroup == cgroup);

	/* Half an id is none. */
	good.cgroup_attr.nla_len -= 4;
	CHECK(sockdiag_decode_listener(&good.header, &l) == 0 && l.cgroup == 0);

	/* Attributes of every length, in messages of every length. */
	for (uint32_t length = NLMSG_LENGTH(sizeof(good.body)); length <= sizeof(good); length++)
		for (uint16_t attr = 0; attr < 64; attr++) {
			good.header.nlmsg_len = length;
			good.attr.nla_len = attr;
			good.cgroup_attr.nla_len = attr;
			CHECK(sockdiag_decode_listener(&good.header, &l) == 0);
		}
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"fields", case_fields},           {"port", case_port},
	        {"nobody", case_nobody},           {"thousand", case_thousand},
	        {"come and go", case_come_and_go}, {"garbage", case_garbage},
	};

	return check_run(cases, ARRAY_SIZE(cases));
}
