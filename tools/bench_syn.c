/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench_syn.h"

struct syn {
	struct iphdr ip;
	struct tcphdr tcp;
};

uint64_t bench_syn_clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint32_t bench_syn_random(struct syn_sender *sender)
{
	sender->random ^= sender->random << 13;
	sender->random ^= sender->random >> 17;
	sender->random ^= sender->random << 5;
	return sender->random;
}

void bench_syn_init_sender(struct syn_sender *sender)
{
	const struct sockaddr_in here = {
	        .sin_family = AF_INET,
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), size = 1 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
	    connect(fd, (const struct sockaddr *)&here, sizeof(here)) < 0)
		err(EXIT_FAILURE, "raw socket");
	*sender = (struct syn_sender){.fd = fd, .random = 2463534242};
}

static uint32_t bench_syn_sum_words(const void *data, size_t len)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += words[i];
	return sum;
}

static uint16_t bench_syn_fold_sum(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* Makes a SYN from a random client. The kernel fills in the checksum and the length of the IP
 * header. */
static void bench_syn_init(struct syn *syn, struct syn_sender *sender, uint16_t port)
{
	uint32_t random = bench_syn_random(sender);

	*syn = (struct syn){
	        .ip = {.version = 4,
	               .ihl = sizeof(syn->ip) / 4,
	               .ttl = 64,
	               .protocol = IPPROTO_TCP,
	               .saddr = htonl((INADDR_LOOPBACK & 0xff000000) | (random & 0xfffffe) | 1),
	               .daddr = htonl(INADDR_LOOPBACK)},
	        .tcp = {.source = htons((uint16_t)(1024 + bench_syn_random(sender) % 60000)),
	                .dest = htons(port),
	                .seq = bench_syn_random(sender),
	                .doff = sizeof(syn->tcp) / 4,
	                .syn = 1,
	                .window = htons(64000)},
	};
	syn->tcp.check = bench_syn_fold_sum(bench_syn_sum_words(&syn->ip.saddr, 8) +
	                                    htons(IPPROTO_TCP) + htons(sizeof(syn->tcp)) +
	                                    bench_syn_sum_words(&syn->tcp, sizeof(syn->tcp)));
}

uint64_t bench_syn_send(struct syn_sender *sender, uint16_t port)
{
	static struct syn syns[SYN_BATCH];
	static struct iovec parts[SYN_BATCH];
	static struct mmsghdr messages[SYN_BATCH];
	uint64_t start;

	for (unsigned i = 0; i < SYN_BATCH; i++) {
		bench_syn_init(&syns[i], sender, port);
		parts[i] = (struct iovec){&syns[i], sizeof(syns[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	start = bench_syn_clock_ns(CLOCK_MONOTONIC_RAW);
	for (unsigned sent = 0; sent < SYN_BATCH;) {
		int done = sendmmsg(sender->fd, messages + sent, SYN_BATCH - sent, 0);

		if (done < 0 && errno != ENOBUFS && errno != EINTR)
			err(EXIT_FAILURE, "can't send SYNs");
		if (done > 0)
			sent += (unsigned)done;
	}
	return bench_syn_clock_ns(CLOCK_MONOTONIC_RAW) - start;
}
