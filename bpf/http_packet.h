/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The TCP segment in a packet of cgroup_skb, which begins at the IP header. A GSO packet is one
 * segment, whatever its length. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "http_exchange.h"

/* Packets with more IPv6 extension headers are not looked at. */
#define HTTP_EXTENSIONS_MAX 6

/* The offset of the TCP header in an IPv6 packet; 0 if it is not found. @next: the first header
 * after that of IPv6. */
static __always_inline __u32 http_packet_find_tcp6(struct __sk_buff *skb, __u8 next)
{
	__u32 at = 40;

	for (int i = 0; i < HTTP_EXTENSIONS_MAX && next != IPPROTO_TCP; i++) {
		__u8 head[2]; /* the next header, and the length of this one */

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_AH)
			return 0;
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head)) < 0)
			return 0;
		at += next == IPPROTO_AH ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		next = head[0];
	}
	return next == IPPROTO_TCP ? at : 0;
}

/* Notes what the TCP header at @at says. Returns where the data begins; 0 if there is none. */
static __always_inline __u32 http_packet_take(const struct __sk_buff *skb, __u32 at,
                                              const struct tcphdr *tcp, struct http_segment *ret)
{
	at += tcp->doff * 4;
	if (skb->len <= at)
		return 0;
	ret->seq = bpf_ntohl(tcp->seq);
	ret->end = ret->seq + skb->len - at;
	ret->ack = bpf_ntohl(tcp->ack_seq);
	return at;
}

/* Reads the headers. Returns where the data of the packet begins; 0 if it has none. */
static __always_inline __u32 http_packet_read(struct __sk_buff *skb, struct http_segment *ret)
{
	const __u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct tcphdr tcp;
	__u8 ip[8] = {};
	__u32 at = 0;

	/* Nearly always, the headers are in the memory that the program reads without a helper, and
	 * have no options. */
	if (data + 20 + sizeof(tcp) <= end && data[0] == 0x45)
		return http_packet_take(skb, 20, (const void *)(data + 20), ret);
	if (data + 40 + sizeof(tcp) <= end && data[0] >> 4 == 6 && data[6] == IPPROTO_TCP)
		return http_packet_take(skb, 40, (const void *)(data + 40), ret);
	if (bpf_skb_load_bytes(skb, 0, ip, sizeof(ip)) < 0)
		return 0;
	if (ip[0] >> 4 == 4)
		at = (ip[0] & 15) * 4;
	else if (ip[0] >> 4 == 6)
		at = http_packet_find_tcp6(skb, ip[6]);
	if (!at || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) < 0)
		return 0;
	return http_packet_take(skb, at, &tcp, ret);
}

/* Reads the first bytes of the data, which begins at @at. */
static __always_inline bool http_packet_read_head(struct __sk_buff *skb, __u32 at,
                                                  struct http_segment *ret)
{
	const __u32 size = skb->len - at;
	/* Less one, since Linux 6.1 does not learn from a comparison that a number is not 0. */
	__u32 last = size > HTTP_HEAD_MAX ? HTTP_HEAD_MAX - 1 : size - 1;

	asm volatile("" : "+r"(last)); /* else the compiler hides the bounds from the verifier */
	ret->n_head = (last & (HTTP_HEAD_MAX - 1)) + 1;
	return bpf_skb_load_bytes(skb, at, ret->head, ret->n_head) == 0;
}
