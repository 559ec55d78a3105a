/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/sockdiag against real listeners. Needs root. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "check/namespaces.h"
#include "core/endpoint.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"
#include "kern/sockdiag_rows.h"

static const struct listener *find_listener(const struct listener *rows, size_t n, int fd)
{
	uint64_t cookie = 0;

	sockdiag_socket_cookie(fd, &cookie);
	for (size_t i = 0; i < n; i++)
		if (rows[i].cookie == cookie)
			return &rows[i];
	return NULL;
}

/* Connections in the queue of our listener. */
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

static void fields_of_a_listener(void)
{
	/* Overlapping addresses must have one uid. A socket that is bound to an IPv6 address is
	 * v6only, whatever was set. */
	struct rpd_endpoint endpoints[] = {
	        {.family = AF_INET, .uid = 1234},
	        {.family = AF_INET, .uid = 1234, .addr = {127, 0, 0, 1}},
	        {.family = AF_INET, .uid = 1234, .ifindex = NAMESPACES_LOOPBACK},
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
		fds[i] = socket_bed_listen(&endpoints[i], 10 + (int)i);
		CHECK(fds[i] >= 0);
	}
	for (int i = 0; i < 3; i++)
		CHECK(socket_bed_connect(&(struct rpd_endpoint){.port = endpoints[0].port,
		                                                .addr = {127, 0, 0, 1}}) >= 0);
	/* The kernel may process the last ACK a moment after connect() has returned. */
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		if (endpoints[i].addr[0] == 127)
			CHECK_UNTIL(queue_of(endpoints[0].port, fds[i]) == 3);

	CHECK(sockdiag_list_listeners(endpoints[0].port, &rows, &n, &err) == 0);
	CHECK(n == ARRAY_SIZE(endpoints));
	for (size_t i = 0; i < n; i++) {
		const struct listener *l = find_listener(rows, n, fds[i]);

		CHECK(l && endpoint_equal(&l->endpoint, &endpoints[i]));
		CHECK(l->inode == socket_bed_inode(fds[i]));
		CHECK(l->backlog == 10 + i);
		CHECK(l->queue == (endpoints[i].addr[0] == 127 ? 3 : 0));
	}
}

static void listeners_of_a_port(void)
{
	struct rpd_endpoint a = socket_bed_loopback(), b = socket_bed_loopback(),
	                    c = {.family = AF_INET6};
	const int fds[] = {socket_bed_listen(&a, 1), socket_bed_listen(&b, 1),
	                   socket_bed_listen(&c, 1)};
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

static void no_listener(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
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

	/* This process has the listener open, and is not counted. */
	CHECK(socket_bed_listen(&e, 1) >= 0);
	CHECK(sockdiag_list_listeners(e.port, &rows, &n, &err) == 0 && n == 1);
	CHECK(proc_holders_find(rows, n, &holders, &n, &err) == 0 && n == 0);
}

static void thousand_listeners(void)
{
	struct rpd_endpoint v4 = {.family = AF_INET}, v6 = {.family = AF_INET6, .v6only = 1};
	_cleanup_free_ struct listener *rows = NULL;
	struct error err;
	size_t n;

	for (int i = 0; i < RPD_SLOT_MAX; i++) {
		CHECK(socket_bed_listen(&v4, 1) >= 0);
		v6.port = v4.port;
		CHECK(socket_bed_listen(&v6, 1) >= 0);
	}
	CHECK(sockdiag_list_listeners(v4.port, &rows, &n, &err) == 0);
	CHECK(n == 2 * RPD_SLOT_MAX);
	for (size_t i = 1; i < n; i++)
		CHECK(rows[i - 1].cookie < rows[i].cookie);
	for (size_t i = 0; i < socket_bed_n; i += 97)
		CHECK(find_listener(rows, n, socket_bed_fds[i]));
}

/* A process that opens and closes listeners of the same group without pause. */
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
		socket_bed_n = 0; /* the listeners are closed here */
		guest[i % ARRAY_SIZE(guest)] = socket_bed_listen(&e, 1);
		shared->fd = (int)i;
	}
}

static void listeners_come_and_go(void)
{
	enum { RESIDENTS = 1000, LOOKS = 300 };
	struct rpd_endpoint e = {.family = AF_INET};

	for (int i = 0; i < RESIDENTS; i++)
		CHECK(socket_bed_listen(&e, 1) >= 0);
	children_start(run_come_and_go, socket_bed_fds[0]);
	CHECK_UNTIL(shared->fd > 100);
	for (int look = 0; look < LOOKS; look++) {
		_cleanup_free_ struct listener *rows = NULL;
		struct error err;
		size_t n;

		CHECK(sockdiag_list_listeners(e.port, &rows, &n, &err) == 0);
		for (size_t i = 0; i < RESIDENTS; i++)
			CHECK(find_listener(rows, n, socket_bed_fds[i]));
	}
}

static void malformed_messages(void)
{
	static const struct {
		size_t at; /* the byte that is wrong */
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

	/* Half a cgroup id is ignored. */
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

static int decode_any(const struct nlmsghdr *message, void *ret)
{
	memcpy(ret, &message->nlmsg_len, sizeof(message->nlmsg_len));
	return 0;
}

/* A last message without padding: what remains is then less than nothing. */
static void unpadded_last_message(void)
{
	static const struct sockdiag_kind kind = {.row_size = 8, .decode = decode_any};

	for (size_t extra = 0; extra < NLMSG_ALIGNTO; extra++) {
		const size_t length = 2 * NLMSG_HDRLEN + extra;
		/* Its own allocation: a sanitizer sees each byte that is read behind it. */
		_cleanup_free_ struct nlmsghdr *datagram = calloc(1, length);
		struct sockdiag_rows rows = {.kind = &kind};

		CHECK(datagram);
		datagram[0].nlmsg_len = NLMSG_HDRLEN;
		datagram[1].nlmsg_len = (uint32_t)(NLMSG_HDRLEN + extra);
		CHECK(sockdiag_rows_read(&rows, datagram, length) == 0);
		CHECK(rows.n == 2);
		free(rows.at);
	}
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(fields_of_a_listener),  CHECK_CASE(listeners_of_a_port),
	        CHECK_CASE(no_listener),           CHECK_CASE(thousand_listeners),
	        CHECK_CASE(listeners_come_and_go), CHECK_CASE(malformed_messages),
	        CHECK_CASE(unpadded_last_message),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
