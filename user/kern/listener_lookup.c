/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/listener_lookup.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/listener.h"
#include "kern/sockdiag.h"

#define ANSWER_MAX 8192

struct listener_lookup_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

/* For a wildcard endpoint: an address for documentation, at which nothing listens (RFC 5737, RFC
 * 3849). A listener of the address would be found before. */
static void listener_lookup_choose_address(const struct rpd_endpoint *endpoint, void *ret)
{
	static const uint8_t none[16], v4[16] = {192, 0, 2, 1},
	                               v6[16] = {0x20, 0x01, 0x0d, 0xb8, 1};

	if (memcmp(endpoint->addr, none, sizeof(none)) != 0)
		memcpy(ret, endpoint->addr, sizeof(none));
	else
		memcpy(ret, endpoint->family == AF_INET ? v4 : v6, sizeof(none));
}

/* As for sockets of the kernel's own: without NLM_F_DUMP it looks one socket up
 * (inet_diag_find_one_icsk()), as for a packet. */
int listener_lookup(const struct rpd_endpoint *endpoint, uint16_t from, uint64_t *ret_cookie)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct listener_lookup_request request = {
	        .header.nlmsg_len = sizeof(request),
	        .header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
	        .header.nlmsg_flags = NLM_F_REQUEST,
	        .body.sdiag_family = endpoint->family,
	        .body.sdiag_protocol = IPPROTO_TCP,
	        .body.idiag_states = ~0u,
	        .body.id.idiag_sport = htons(endpoint->port),
	        .body.id.idiag_dport = htons(from),
	        .body.id.idiag_if = endpoint->ifindex,
	        .body.id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE},
	};
	union {
		struct nlmsghdr header;
		char buffer[ANSWER_MAX];
	} answer;
	struct listener found;
	ssize_t n;
	int r;

	listener_lookup_choose_address(endpoint, request.body.id.idiag_src);
	memcpy(request.body.id.idiag_dst, request.body.id.idiag_src,
	       sizeof(request.body.id.idiag_dst));
	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&answer.header, (size_t)n) || answer.header.nlmsg_type == NLMSG_ERROR)
		return -ENOENT;
	r = sockdiag_decode_listener(&answer.header, &found);
	if (r == 0)
		*ret_cookie = found.cookie;
	return r;
}
