/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/listener_lookup.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/sockdiag.h"

#define ANSWER_MAX  8192
#define CLIENT_PORT 40000

struct listener_lookup_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

/* An address that no host has, of a block that is reserved (RFC 1112, RFC 3849): no connection has
 * it, and no process can guess it to listen there. */
static int listener_lookup_choose_address(uint8_t family, void *ret)
{
	static const uint8_t block[] = {0x20, 0x01, 0x0d, 0xb8};
	uint8_t address[16];

	if (getrandom(address, sizeof(address), 0) != sizeof(address))
		return -EIO;
	if (family == AF_INET)
		address[0] |= 0xf0;
	else
		memcpy(address, block, sizeof(block));
	memcpy(ret, address, sizeof(address));
	return 0;
}

static int listener_lookup_choose_addresses(const struct rpd_endpoint *endpoint,
                                            struct inet_diag_sockid *ret)
{
	int r = listener_lookup_choose_address(endpoint->family, ret->idiag_dst);

	if (r < 0)
		return r;
	if (endpoint_is_wildcard(endpoint))
		return listener_lookup_choose_address(endpoint->family, ret->idiag_src);
	memcpy(ret->idiag_src, endpoint->addr, sizeof(ret->idiag_src));
	return 0;
}

/* As for sockets of the kernel's own: without NLM_F_DUMP it looks one socket up
 * (inet_diag_find_one_icsk()), as for a packet. */
int listener_lookup(const struct rpd_endpoint *endpoint, struct listener *ret)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct rpd_endpoint plain = endpoint_unmap(endpoint);
	struct listener_lookup_request request = {
	        .header.nlmsg_len = sizeof(request),
	        .header.nlmsg_type = SOCK_DIAG_BY_FAMILY,
	        .header.nlmsg_flags = NLM_F_REQUEST,
	        .body.sdiag_family = plain.family,
	        .body.sdiag_protocol = IPPROTO_TCP,
	        .body.idiag_states = ~0u,
	        .body.id.idiag_sport = htons(plain.port),
	        .body.id.idiag_dport = htons(CLIENT_PORT),
	        .body.id.idiag_if = plain.ifindex,
	        .body.id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE},
	};
	union {
		struct nlmsghdr header;
		char buffer[ANSWER_MAX];
	} answer;
	ssize_t n;
	int r = listener_lookup_choose_addresses(&plain, &request.body.id);

	if (r < 0)
		return r;
	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&answer.header, (size_t)n) || answer.header.nlmsg_type == NLMSG_ERROR)
		return -ENOENT;
	return sockdiag_decode_listener(&answer.header, ret);
}
