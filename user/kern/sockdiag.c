/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Facts about the kernel's dump of listeners (inet_diag_dump_icsk(), netlink_dump()):
 *   - AF_UNSPEC has no handler, so each family is asked for on its own. The port in the request is
 *     compared in the kernel; there is no need for a filter program.
 *   - A datagram is filled under the lock of the hash bucket, which all members of a reuseport
 *     group share. Between two datagrams the place is kept as a count of sockets to skip: when a
 *     listener closes meanwhile, a live one is skipped; when one starts, another comes twice. The
 *     kernel does not tell (6.18 never sets NLM_F_DUMP_INTR here). So a dump that took more than
 *     one datagram is made again, and merged.
 *   - Datagrams are as large as the largest buffer that the netlink socket was read with, up to
 *     32 KiB: about 250 listeners. Only the first ones on a new socket are small.
 */
#include "kern/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

#define DATAGRAM_MAX (64 * 1024)
#define DUMP_PASSES  2

/* A conversation with the kernel, and the listeners that it brought so far. */
struct dump {
	int fd;
	char *buffer; /* of DATAGRAM_MAX bytes */
	struct listener *rows;
	size_t n;
	size_t capacity;
	bool disturbed; /* the last answer may lack a listener that was there all the time */
};

static void dump_deinit(struct dump *d)
{
	cleanup_close(&d->fd);
	free(d->buffer);
	free(d->rows);
}

static bool decode_v6only(const struct nlmsghdr *message)
{
	const struct rtattr *attr = (const void *)((const char *)NLMSG_DATA(message) +
	                                           NLMSG_ALIGN(sizeof(struct inet_diag_msg)));
	int left = (int)NLMSG_PAYLOAD(message, NLMSG_ALIGN(sizeof(struct inet_diag_msg)));

	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
		if (attr->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(attr) >= 1)
			return *(const uint8_t *)RTA_DATA(attr);
	return false;
}

int sockdiag_decode(const struct nlmsghdr *message, struct listener *ret)
{
	const struct inet_diag_msg *msg = NLMSG_DATA(message);
	struct listener l = {0};

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
		return -EBADMSG;
	if (msg->idiag_state != TCP_LISTEN)
		return -EBADMSG;

	switch (msg->idiag_family) {
	case AF_INET:
		memcpy(l.endpoint.addr, msg->id.idiag_src, sizeof(struct in_addr));
		break;
	case AF_INET6:
		memcpy(l.endpoint.addr, msg->id.idiag_src, sizeof(struct in6_addr));
		l.endpoint.v6only = decode_v6only(message);
		break;
	default:
		return -EBADMSG;
	}
	l.endpoint.family = msg->idiag_family;
	l.endpoint.port = ntohs(msg->id.idiag_sport);
	l.endpoint.ifindex = msg->id.idiag_if;
	l.endpoint.uid = msg->idiag_uid;
	l.cookie = msg->id.idiag_cookie[0] | (uint64_t)msg->id.idiag_cookie[1] << 32;
	l.inode = msg->idiag_inode;
	/* For a listener these two are the accept queue (tcp_diag_get_info()). */
	l.queue = msg->idiag_rqueue;
	l.backlog = msg->idiag_wqueue;
	*ret = l;
	return 0;
}

static int dump_add(struct dump *d, const struct nlmsghdr *message)
{
	int r;

	if (d->n == d->capacity) {
		const size_t capacity = d->capacity ? 2 * d->capacity : 64;
		struct listener *rows = reallocarray(d->rows, capacity, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		d->rows = rows;
		d->capacity = capacity;
	}
	r = sockdiag_decode(message, &d->rows[d->n]);
	if (r < 0)
		return r;
	d->n++;
	return 0;
}

/* The end of an answer: 1, or the error that it brings. */
static int dump_end(const struct nlmsghdr *message)
{
	/* Both NLMSG_DONE and NLMSG_ERROR begin with it, and in both 0 is success. */
	const int *error = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return -EBADMSG;
	return *error < 0 ? *error : 1;
}

/* Takes in the messages of one datagram. 1 if it ends the answer, 0 if more is to come. */
static int dump_take(struct dump *d, size_t length)
{
	const struct nlmsghdr *message = (const void *)d->buffer;
	int r;

	for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			d->disturbed = true;
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
			return dump_end(message);
		r = dump_add(d, message);
		if (r < 0)
			return r;
	}
	return 0;
}

static ssize_t dump_receive(struct dump *d)
{
	ssize_t length;

	do { /* MSG_TRUNC: the true length, also of what did not fit */
		length = recv(d->fd, d->buffer, DATAGRAM_MAX, MSG_TRUNC);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	return length > DATAGRAM_MAX ? -EMSGSIZE : length;
}

/* Sends @request and takes in the answer. */
static int dump_ask(struct dump *d, const struct nlmsghdr *request)
{
	ssize_t length;
	int r;

	d->disturbed = false;
	if (send(d->fd, request, request->nlmsg_len, 0) < 0)
		return -errno;

	for (int datagrams = 1;; datagrams++) {
		length = dump_receive(d);
		if (length < 0)
			return (int)length;
		r = dump_take(d, (size_t)length);
		if (r)
			return r < 0 ? r : 0;
		if (datagrams > 1)
			d->disturbed = true;
	}
}

static int dump_family(struct dump *d, uint8_t family, uint16_t port)
{
	const struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
	        .header.nlmsg_len = sizeof(request),
	        .header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
	        .header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
	        .body.sdiag_family = family,
	        .body.sdiag_protocol = IPPROTO_TCP,
	        .body.idiag_states = 1u << TCP_LISTEN,
	        .body.id.idiag_sport = htons(port),
	};
	int r;

	for (int pass = 0; pass < DUMP_PASSES; pass++) {
		r = dump_ask(d, &request.header);
		if (r < 0 || !d->disturbed)
			break;
	}
	return r;
}

/* Everything of both families. */
static int dump_run(struct dump *d, uint16_t port)
{
	int r;

	d->buffer = malloc(DATAGRAM_MAX);
	if (!d->buffer)
		return -ENOMEM;
	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (d->fd < 0)
		return -errno;

	r = dump_family(d, AF_INET, port);
	if (r == 0)
		r = dump_family(d, AF_INET6, port);
	return r;
}

static int listener_compare(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return COMPARE(x->cookie, y->cookie);
}

/* Sorts by cookie and drops what came twice. */
static void dump_merge(struct dump *d)
{
	size_t n = 0;

	if (d->n)
		qsort(d->rows, d->n, sizeof(*d->rows), listener_compare);
	for (size_t i = 0; i < d->n; i++)
		if (n == 0 || d->rows[n - 1].cookie != d->rows[i].cookie)
			d->rows[n++] = d->rows[i];
	d->n = n;
}

int sockdiag_listeners(uint16_t port, struct listener **ret, size_t *ret_n, struct error *err)
{
	_cleanup_(dump_deinit) struct dump d = {.fd = -1};
	int r = dump_run(&d, port);

	if (r == -ENOENT)
		return error_set(err, r,
		                 "cannot list listening sockets: this kernel has no sock_diag for "
		                 "TCP (CONFIG_INET_TCP_DIAG, module tcp_diag)");
	if (r < 0)
		return error_set(err, r, "cannot list listening sockets: %s", strerror(-r));
	dump_merge(&d);
	*ret = TAKE_PTR(d.rows);
	*ret_n = d.n;
	return 0;
}

static int cookie_get(int fd, int option, uint64_t *ret)
{
	uint64_t cookie;
	socklen_t length = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, option, &cookie, &length) < 0)
		return -errno;
	*ret = cookie;
	return 0;
}

int sockdiag_cookie_of(int fd, uint64_t *ret)
{
	return cookie_get(fd, SO_COOKIE, ret);
}

int sockdiag_netns_cookie(int fd, uint64_t *ret)
{
	return cookie_get(fd, SO_NETNS_COOKIE, ret);
}
