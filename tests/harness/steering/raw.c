/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/raw.h"

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check/check.h"

#define DATA_MAX 64

struct tcp_part {
	struct tcphdr header;
	uint8_t data[DATA_MAX];
} __attribute__((packed));

struct packet_v4 {
	struct iphdr ip;
	struct tcp_part tcp;
} __attribute__((packed));

struct packet_v6 {
	struct ip6_hdr ip;
	struct tcp_part tcp;
} __attribute__((packed));

static uint32_t raw_sum_words(const void *bytes, size_t n, uint32_t sum)
{
	const uint8_t *at = bytes;

	for (; n > 1; n -= 2, at += 2)
		sum += (uint32_t)at[0] << 8 | at[1];
	return n ? sum + ((uint32_t)at[0] << 8) : sum;
}

static uint16_t raw_checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* Fills in the TCP part. @addresses: the sum of the words of both addresses, for the pseudo header.
 * Returns the length. */
static uint16_t raw_fill_tcp(struct tcp_part *tcp, const struct raw_packet *packet,
                             uint32_t addresses)
{
	const uint16_t length = (uint16_t)(sizeof(tcp->header) + packet->n_data);

	tcp->header = (struct tcphdr){
	        .th_sport = htons(socket_address_port(&packet->from)),
	        .th_dport = htons(socket_address_port(&packet->to)),
	        .th_seq = htonl(packet->seq),
	        .th_ack = htonl(packet->ack),
	        .th_off = sizeof(tcp->header) / 4,
	        .th_flags = packet->flags,
	        .th_win = htons(0x4000),
	};
	tcp->header.th_sum =
	        raw_checksum(raw_sum_words(tcp, length, addresses + IPPROTO_TCP + length));
	return length;
}

static size_t raw_fill_v4(struct packet_v4 *v4, const struct raw_packet *packet)
{
	size_t length;

	/* The kernel fills in total length, identification and checksum, which are 0. */
	v4->ip = (struct iphdr){
	        .version = 4,
	        .ihl = sizeof(v4->ip) / 4,
	        .ttl = 64,
	        .protocol = IPPROTO_TCP,
	        .saddr = packet->from.in.sin_addr.s_addr,
	        .daddr = packet->to.in.sin_addr.s_addr,
	};
	length = raw_fill_tcp(&v4->tcp, packet, raw_sum_words(&v4->ip.saddr, 8, 0));
	return sizeof(v4->ip) + length;
}

static size_t raw_fill_v6(struct packet_v6 *v6, const struct raw_packet *packet)
{
	uint16_t length;

	v6->ip = (struct ip6_hdr){
	        .ip6_hlim = 64,
	        .ip6_nxt = IPPROTO_TCP,
	        .ip6_src = packet->from.in6.sin6_addr,
	        .ip6_dst = packet->to.in6.sin6_addr,
	};
	v6->ip.ip6_vfc = 6 << 4;
	length = raw_fill_tcp(&v6->tcp, packet, raw_sum_words(&v6->ip.ip6_src, 32, 0));
	v6->ip.ip6_plen = htons(length);
	return sizeof(v6->ip) + length;
}

int raw_open(int family)
{
	const int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	return fd < 0 ? -errno : fd;
}

int raw_put(int fd, const struct raw_packet *packet)
{
	union {
		struct packet_v4 v4;
		struct packet_v6 v6;
	} bytes = {};
	union socket_address to = packet->to;
	size_t length;

	if (packet->n_data > DATA_MAX)
		return -EMSGSIZE;
	if (to.sa.sa_family == AF_INET6) {
		to.in6.sin6_port = 0; /* the protocol, if it is given at all */
		length = raw_fill_v6(&bytes.v6, packet);
	} else {
		length = raw_fill_v4(&bytes.v4, packet);
	}
	return sendto(fd, &bytes, length, 0, &to.sa, sizeof(to)) < 0 ? -errno : 0;
}

void raw_send(const struct raw_packet *packet)
{
	_cleanup_close_ int fd = raw_open(packet->to.sa.sa_family);

	CHECK_EQ(raw_put(fd, packet), 0);
}

int raw_listen(void)
{
	const struct timeval deadline = {.tv_sec = DEADLINE_S};
	const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);

	CHECK(fd >= 0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	return fd;
}

void raw_await(int fd, const union socket_address *to, uint8_t flags, struct raw_packet *ret)
{
	uint8_t bytes[2048];

	for (;;) {
		const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
		struct iphdr ip;
		struct tcphdr tcp;

		CHECK(n >= (ssize_t)(sizeof(ip) + sizeof(tcp)));
		memcpy(&ip, bytes, sizeof(ip));
		memcpy(&tcp, bytes + ip.ihl * 4, sizeof(tcp));
		if (ntohs(tcp.th_dport) != socket_address_port(to) ||
		    (tcp.th_flags & flags) != flags)
			continue;
		*ret = (struct raw_packet){
		        .from = socket_address_v4(ntohl(ip.saddr)),
		        .to = socket_address_v4(ntohl(ip.daddr)),
		        .seq = ntohl(tcp.th_seq),
		        .ack = ntohl(tcp.th_ack),
		        .flags = tcp.th_flags,
		};
		ret->from.in.sin_port = tcp.th_sport;
		ret->to.in.sin_port = tcp.th_dport;
		return;
	}
}
