/* SPDX-License-Identifier: BSD-2-Clause */
/* Migration of handshakes: the listener that got the SYN closes before the handshake is done. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <linux/filter.h>

#include "base/cleanup.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/raw.h"
#include "steering/server.h"

#define WORKERS 4

/* A client that receives nothing, so that its handshake is not completed. */
static int deaf_client(const struct bed *bed, union socket_address *ret_own)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = {.len = 1, .filter = &nothing};
	const union socket_address to = client_target(bed, 0, AF_INET);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t length = sizeof(*ret_own);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	CHECK(connect(fd, &to.sa, sizeof(to)) < 0 && errno == EINPROGRESS);
	CHECK_EQ(getsockname(fd, &ret_own->sa, &length), 0);
	return fd;
}

/* The worker closes before the client's ACK: the handshake migrates when the ACK comes. */
static void handshake_migrates_on_ack(void)
{
	struct bed *bed = bed_new();
	_cleanup_close_ int wire = -1, client = -1, server = -1;
	struct raw_packet syn_ack, ack;
	union socket_address own;

	bed_start(bed, WORKERS);
	wire = raw_listen();
	client = deaf_client(bed, &own);
	raw_await(wire, &own, RAW_SYN | RAW_ACK, &syn_ack);
	CHECK_EQ(counters_row(bed, 0, RPD_OUTCOME_steered), 1);
	bed_close(bed, 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 0);

	ack = (struct raw_packet){.from = syn_ack.to,
	                          .to = syn_ack.from,
	                          .seq = syn_ack.ack,
	                          .ack = syn_ack.seq + 1,
	                          .flags = RAW_ACK};
	raw_send(&ack);
	CHECK_UNTIL(counters_total(bed, RPD_OUTCOME_migrated) == 1);
	CHECK_UNTIL((server = server_accept_any(bed, 1)) >= 0);
	CHECK_EQ(counters_sum(bed), 2);
}

/* The client receives again only after the worker has closed: the handshake migrates when the
 * kernel sends the next SYN-ACK, a second after the first. */
static void handshake_migrates_on_timer(void)
{
	struct bed *bed = bed_new();
	struct pollfd connected = {.events = POLLOUT};
	_cleanup_close_ int client = -1, server = -1;
	int error = -1, unused = 0;
	socklen_t length = sizeof(error);
	union socket_address own;

	bed_start(bed, WORKERS);
	client = deaf_client(bed, &own);
	CHECK_UNTIL(counters_row(bed, 0, RPD_OUTCOME_steered) == 1);
	bed_close(bed, 0);
	CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)), 0);
	connected.fd = client;
	CHECK_EQ(poll(&connected, 1, DEADLINE_S * 1000), 1);
	CHECK_EQ(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length), 0);
	CHECK_EQ(error, 0);
	CHECK_EQ(counters_total(bed, RPD_OUTCOME_migrated), 1);
	CHECK_UNTIL((server = server_accept_any(bed, 1)) >= 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(handshake_migrates_on_ack),
	        CHECK_CASE(handshake_migrates_on_timer),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
