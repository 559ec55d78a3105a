/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/sockdiag.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kern/sockdiag_dump.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* Decodes the attributes. INET_DIAG_CGROUP_ID comes unrequested, since Linux 5.9. */
static void sockdiag_decode_attributes(const struct nlmsghdr *message, struct listener *l)
{
	const struct rtattr *attr = (const void *)((const char *)NLMSG_DATA(message) +
	                                           NLMSG_ALIGN(sizeof(struct inet_diag_msg)));
	int left = (int)NLMSG_PAYLOAD(message, NLMSG_ALIGN(sizeof(struct inet_diag_msg)));

	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(attr) >= 1 &&
		    l->endpoint.family == AF_INET6)
			l->endpoint.v6only = *(const uint8_t *)RTA_DATA(attr);
		if (attr->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(attr) >= sizeof(l->cgroup))
			memcpy(&l->cgroup, RTA_DATA(attr), sizeof(l->cgroup));
	}
}

int sockdiag_decode_listener(const struct nlmsghdr *message, struct listener *ret)
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
	/* For a listener these two describe the accept queue (tcp_diag_get_info()). */
	l.queue = msg->idiag_rqueue;
	l.backlog = msg->idiag_wqueue;
	sockdiag_decode_attributes(message, &l);
	*ret = l;
	return 0;
}

static int sockdiag_decode_row(const struct nlmsghdr *message, void *ret)
{
	return sockdiag_decode_listener(message, ret);
}

static int sockdiag_find_listeners(const struct sockdiag_filter *filter, struct listener **ret,
                                   size_t *ret_n, struct error *err)
{
	static const struct sockdiag_kind kind = {
	        .states = 1u << TCP_LISTEN,
	        .row_size = sizeof(struct listener),
	        .cookie_at = offsetof(struct listener, cookie),
	        .decode = sockdiag_decode_row,
	};
	struct error why;
	int r = sockdiag_dump_sockets(&kind, filter, ret, ret_n, &why);

	if (r == -ENOENT)
		return error_set(err, r,
		                 "can't list listening sockets: this kernel has no sock_diag for "
		                 "TCP (CONFIG_INET_TCP_DIAG, module tcp_diag)");
	if (r == -E2BIG)
		return error_set(err, r, "there are more than %zu listeners", filter->max);
	if (r < 0)
		return error_set(err, r, "can't list listening sockets: %s", why.text);
	return 0;
}

int sockdiag_list_listeners(uint16_t port, struct listener **ret, size_t *ret_n, struct error *err)
{
	const struct sockdiag_filter filter = {.port = port};

	return sockdiag_find_listeners(&filter, ret, ret_n, err);
}

int sockdiag_list_listeners_of(uint64_t cgroup, bool fixed, struct listener **ret, size_t *ret_n,
                               struct error *err)
{
	const struct sockdiag_filter filter = {
	        .cgroup = cgroup,
	        .fixed = fixed,
	        .max = SOCKDIAG_OF_CGROUP_MAX,
	};

	return sockdiag_find_listeners(&filter, ret, ret_n, err);
}

static int sockdiag_read_cookie(int fd, int option, uint64_t *ret)
{
	uint64_t cookie;
	socklen_t length = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, option, &cookie, &length) < 0)
		return -errno;
	*ret = cookie;
	return 0;
}

int sockdiag_socket_cookie(int fd, uint64_t *ret)
{
	return sockdiag_read_cookie(fd, SO_COOKIE, ret);
}

int sockdiag_netns_cookie(int fd, uint64_t *ret)
{
	return sockdiag_read_cookie(fd, SO_NETNS_COOKIE, ret);
}
