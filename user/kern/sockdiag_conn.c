/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/sockdiag_conn.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/held_child.h"
#include "kern/sockdiag_dump.h"

#define HELD_MAX 16 /* children that wait for locks of connections */

/* From include/net/tcp_states.h. netinet/tcp.h has it, too, but conflicts with linux/tcp.h. */
enum {
	STATE_ESTABLISHED = 1,
	STATE_FIN_WAIT1 = 4,
	STATE_FIN_WAIT2 = 5,
	STATE_CLOSE_WAIT = 8,
	STATE_LAST_ACK = 9,
	STATE_CLOSING = 11,
};

static uint32_t sockdiag_conn_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint64_t sockdiag_conn_subtract(uint64_t bytes, unsigned int n)
{
	return bytes > n ? bytes - n : 0;
}

/* struct tcp_info grows with the kernel: fields that an older kernel lacks are 0. */
static void sockdiag_conn_decode_info(struct connection *c, uint8_t state,
                                      const struct rtattr *attr)
{
	const bool has_fin =
	        state == STATE_CLOSE_WAIT || state == STATE_LAST_ACK || state == STATE_CLOSING;
	struct tcp_info info = {};
	size_t size = RTA_PAYLOAD(attr);

	memcpy(&info, RTA_DATA(attr), size < sizeof(info) ? size : sizeof(info));
	/* The kernel counts a FIN as a received byte, and our SYN and FIN as acknowledged bytes
	 * (tcp_rcv_nxt_update() and tcp_snd_una_update()). */
	c->bytes_in = sockdiag_conn_subtract(info.tcpi_bytes_received, has_fin);
	c->bytes_out =
	        sockdiag_conn_subtract(info.tcpi_bytes_acked, 1 + (state == STATE_FIN_WAIT2));
	c->idle_ms = sockdiag_conn_min(info.tcpi_last_data_recv, info.tcpi_last_data_sent);
}

int sockdiag_conn_decode(const struct nlmsghdr *message, void *ret)
{
	const struct inet_diag_msg *msg = NLMSG_DATA(message);
	const struct rtattr *attr;
	struct connection c = {};
	bool has_info = false;
	int left;

	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
		return -EBADMSG;
	attr = (const void *)((const char *)msg + NLMSG_ALIGN(sizeof(*msg)));
	left = (int)NLMSG_PAYLOAD(message, NLMSG_ALIGN(sizeof(*msg)));
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
		if (attr->rta_type == INET_DIAG_INFO) {
			sockdiag_conn_decode_info(&c, msg->idiag_state, attr);
			has_info = true;
		}
	if (!has_info && !msg->idiag_inode)
		return 1;
	c.cookie = msg->id.idiag_cookie[0] | (uint64_t)msg->id.idiag_cookie[1] << 32;
	c.family = msg->idiag_family;
	c.state = msg->idiag_state;
	c.local_port = ntohs(msg->id.idiag_sport);
	c.peer_port = ntohs(msg->id.idiag_dport);
	memcpy(c.local, msg->id.idiag_src, sizeof(c.local));
	memcpy(c.peer, msg->id.idiag_dst, sizeof(c.peer));
	c.ifindex = msg->id.idiag_if;
	c.inode = msg->idiag_inode;
	*(struct connection *)ret = c;
	return 0;
}

int sockdiag_conn_list(uint16_t port, bool info, struct connection **ret, size_t *ret_n,
                       struct error *err)
{
	const struct sockdiag_kind kind = {
	        .states = 1u << STATE_ESTABLISHED | 1u << STATE_FIN_WAIT1 | 1u << STATE_FIN_WAIT2 |
	                  1u << STATE_CLOSE_WAIT | 1u << STATE_LAST_ACK | 1u << STATE_CLOSING,
	        .extensions = info ? 1u << (INET_DIAG_INFO - 1) : 0,
	        .row_size = sizeof(struct connection),
	        .cookie_at = offsetof(struct connection, cookie),
	        .decode = sockdiag_conn_decode,
	};
	const struct sockdiag_filter filter = {.port = port};
	struct error why;
	int r = sockdiag_dump_sockets(&kind, &filter, ret, ret_n, &why);

	return r < 0 ? error_set(err, r, "can't list the connections of port %u: %s", port,
	                         why.text)
	             : 0;
}

static int sockdiag_conn_reset_one(const struct connection *connection)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
	        .header.nlmsg_len = sizeof(request),
	        .header.nlmsg_type = SOCK_DESTROY,
	        .header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
	        .body.sdiag_family = connection->family,
	        .body.sdiag_protocol = IPPROTO_TCP,
	        .body.id.idiag_sport = htons(connection->local_port),
	        .body.id.idiag_dport = htons(connection->peer_port),
	        .body.id.idiag_if = connection->ifindex,
	        .body.id.idiag_cookie = {connection->cookie, connection->cookie >> 32},
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr body;
	} answer;
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t n;

	memcpy(request.body.id.idiag_src, connection->local, sizeof(connection->local));
	memcpy(request.body.id.idiag_dst, connection->peer, sizeof(connection->peer));
	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	return n == sizeof(answer) && answer.header.nlmsg_type == NLMSG_ERROR ? answer.body.error
	                                                                      : -EBADMSG;
}

struct sockdiag_conn_task {
	const struct connection *connections;
	size_t n;
	/* By the child: */
	size_t done, reset;
	int error;
};

static void sockdiag_conn_run(void *data)
{
	struct sockdiag_conn_task *it = data;

	for (; it->done < it->n && it->error != -EOPNOTSUPP; it->done++) {
		const int r = sockdiag_conn_reset_one(&it->connections[it->done]);

		it->reset += r == 0;
		it->error = r;
	}
}

/* In a child: the kernel takes the connection's lock, which its process can keep. */
int sockdiag_conn_reset(const struct connection *connections, size_t n, size_t *ret_reset,
                        struct error *err)
{
	const struct held_child_call call = {
	        .run = sockdiag_conn_run, .keep = {-1, -1}, .max = HELD_MAX};
	struct sockdiag_conn_task it = {.connections = connections, .n = n};

	while (it.done < n && it.error != -EOPNOTSUPP) {
		const enum held_child_result result = held_child_run(&call, &it, sizeof(it));

		if (result == HELD_CHILD_REFUSED)
			break;
		if (result == HELD_CHILD_STUCK && it.done < n)
			it.done++;
	}
	*ret_reset = it.reset;
	return it.error == -EOPNOTSUPP ? error_set(err, it.error,
	                                           "this kernel can't reset connections "
	                                           "(CONFIG_INET_DIAG_DESTROY)")
	                               : 0;
}
