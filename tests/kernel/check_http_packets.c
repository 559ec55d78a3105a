/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf/http_packet.h and http.bpf.c: responses in packets of any shape, and packets that don't
 * belong to a connection of the service. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/http_bed.h"
#include "beds/run_client.h"
#include "check/check.h"
#include "core/endpoint.h"
#include "kern/cgroup_socket.h"
#include "kern/own_listener.h"
#include "kern/steer_probes.h"
#include "service/response_stats.h"
#include "steering/raw.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

#define LONG (1 << 20)

static void ask(const struct http_pair *pair)
{
	http_bed_send(pair->client, pair->server, GET, sizeof(GET) - 1);
}

static void answer(const struct http_pair *pair)
{
	http_bed_send(pair->server, pair->client, OK, sizeof(OK) - 1);
}

/* Asks and answers @n times, and checks that just this is counted. */
static void exchange(const struct http_pair *pair, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		ask(pair);
		answer(pair);
	}
	http_bed_expect("answers", (const unsigned int[RESPONSE_CLASS_MAX]){0, 0, n}, n);
}

/* Packets of 64 kB: the whole text of one is a status line again and again. */
static void long_packets(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	_cleanup_free_ char *body = malloc(LONG);
	struct http_pair pair;

	CHECK(body);
	for (size_t i = 0; i < LONG; i++)
		body[i] = "HTTP/1.1 500 Oh\r\n"[i % 17];
	memcpy(body, "HTTP/1.1 200", 12);
	http_bed_begin(&bed, AF_INET, false);
	pair = http_bed_connect(&bed, AF_INET);
	for (unsigned int i = 0; i < 20; i++) {
		struct response_count count;

		ask(&pair);
		http_bed_send(pair.server, pair.client, body, LONG);
		/* A packet may begin where a line does: then the status is not known. */
		CHECK_EQ(response_stats_of_generation(&run_service, 0, &count, NULL), 0);
		CHECK_EQ(count.of[2], i + 1);
		CHECK_EQ(count.of[5], 0);
	}
	http_bed_close(&pair);
}

static void ip_options(void)
{
	static const unsigned char options[] = {1, 1, 1, 1, 1, 1, 1, 0};
	_cleanup_http_bed_ struct http_bed bed;
	struct http_pair pair;

	http_bed_begin(&bed, AF_INET, false);
	pair = http_bed_connect(&bed, AF_INET);
	CHECK_EQ(setsockopt(pair.client, IPPROTO_IP, IP_OPTIONS, options, sizeof(options)), 0);
	CHECK_EQ(setsockopt(pair.server, IPPROTO_IP, IP_OPTIONS, options, 4), 0);
	exchange(&pair, 10);
	http_bed_close(&pair);
}

static void extension_headers(void)
{
	/* The next header is filled in; 0 more units of 8 bytes; options that mean nothing. */
	static const unsigned char header[] = {0, 0, 1, 4, 0, 0, 0, 0};
	static const int options[] = {IPV6_DSTOPTS, IPV6_HOPOPTS};
	_cleanup_http_bed_ struct http_bed bed;
	struct http_pair pair;

	http_bed_begin(&bed, AF_INET6, true);
	pair = http_bed_connect(&bed, AF_INET6);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		CHECK_EQ(setsockopt(pair.client, IPPROTO_IPV6, options[i], header, sizeof(header)),
		         0);
		CHECK_EQ(setsockopt(pair.server, IPPROTO_IPV6, options[i], header, sizeof(header)),
		         0);
	}
	exchange(&pair, 10);
	http_bed_close(&pair);
}

/* The kernel drops the last packet of the handshake, so the request completes it: it belongs to the
 * listener then. */
static void request_that_completes_the_handshake(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct pollfd poll_fd;
	struct http_pair pair;
	const int seconds = 5;
	char text[sizeof(GET)];

	http_bed_begin(&bed, AF_INET, false);
	CHECK_EQ(setsockopt(bed.listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)),
	         0);
	pair.client = run_client_connect(&bed.endpoint);
	CHECK(pair.client >= 0);
	CHECK_EQ(send(pair.client, GET, sizeof(GET) - 1, MSG_NOSIGNAL), sizeof(GET) - 1);
	poll_fd = (struct pollfd){.fd = bed.listener, .events = POLLIN};
	CHECK_EQ(poll(&poll_fd, 1, DEADLINE_S * 1000), 1);
	pair.server = accept4(bed.listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(pair.server >= 0);
	CHECK_EQ(recv(pair.server, text, sizeof(text), 0), sizeof(GET) - 1);
	answer(&pair);
	http_bed_expect("first", (const unsigned int[RESPONSE_CLASS_MAX]){0, 0, 1}, 0);
	ask(&pair);
	answer(&pair);
	http_bed_expect("second", (const unsigned int[RESPONSE_CLASS_MAX]){0, 0, 2}, 1);
	http_bed_close(&pair);
}

/* A connection that the worker has opened itself, to a port of its own and to another one. */
static void worker_as_a_client(void)
{
	const struct rpd_endpoint other = {.family = AF_INET, .port = RUN_SERVICE_PORT + 1};
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons(RUN_SERVICE_PORT + 1),
	                         .sin_addr = {htonl(INADDR_LOOPBACK)}};
	_cleanup_http_bed_ struct http_bed bed;
	_cleanup_close_ int listener = -1;
	struct http_pair pair;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	listener = own_listener_open(&other, bed.cgroup, &err);
	CHECK(listener >= 0);
	pair.client = cgroup_socket(bed.cgroup, AF_INET, SOCK_STREAM | SOCK_CLOEXEC);
	CHECK_EQ(connect(pair.client, (struct sockaddr *)&to, sizeof(to)), 0);
	pair.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(pair.server >= 0);
	ask(&pair);
	answer(&pair);
	http_bed_expect("another port", (const unsigned int[RESPONSE_CLASS_MAX]){}, 0);
	http_bed_close(&pair);
}

/* The supervisor's own requests. */
static void probes(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct rpd_probe source = {.addr = {127, 0, 0, 1}, .family = AF_INET};
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	struct http_pair pair;

	http_bed_begin(&bed, AF_INET, false);
	pair = http_bed_connect(&bed, AF_INET);
	CHECK_EQ(getsockname(pair.client, (struct sockaddr *)&own, &size), 0);
	source.port = ntohs(own.sin_port);
	CHECK_EQ(steer_probes_set(&run_service.steer, &source, 0), 0);
	ask(&pair);
	answer(&pair);
	http_bed_expect("a probe", (const unsigned int[RESPONSE_CLASS_MAX]){}, 0);
	http_bed_close(&pair);
	CHECK_EQ(steer_probes_remove(&run_service.steer, &source), 0);
}

/* One of the two is far after all that has come. */
static void segments_out_of_the_window(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct raw_packet packet = {.flags = RAW_ACK, .n_data = 10};
	socklen_t size = sizeof(packet.from);
	struct http_pair pair;

	http_bed_begin(&bed, AF_INET, false);
	pair = http_bed_connect(&bed, AF_INET);
	CHECK_EQ(getsockname(pair.client, &packet.from.sa, &size), 0);
	CHECK_EQ(getpeername(pair.client, &packet.to.sa, &size), 0);
	ask(&pair);
	answer(&pair);
	raw_send(&packet);
	packet.seq = 1u << 31;
	raw_send(&packet);
	for (unsigned int i = 0; i < 2; i++) {
		ask(&pair);
		answer(&pair);
	}
	http_bed_expect("answers", (const unsigned int[RESPONSE_CLASS_MAX]){0, 0, 3}, 3);
	http_bed_close(&pair);
}

/* The time is that from the request to the response, whatever came before. */
static void time_to_first_byte(void)
{
	const struct timespec pause = {.tv_nsec = 30000000};
	_cleanup_http_bed_ struct http_bed bed;
	struct response_count count;
	struct http_pair pair;

	http_bed_begin(&bed, AF_INET, false);
	pair = http_bed_connect(&bed, AF_INET);
	ask(&pair);
	nanosleep(&pause, NULL); /* what is measured */
	answer(&pair);
	CHECK_EQ(response_stats_of_generation(&run_service, 0, &count, NULL), 0);
	CHECK(count.time_ns >= 30000000);
	CHECK(response_count_quantile(&count, 500) >= count.time_ns);
	CHECK(response_bucket_floor(response_bucket(count.time_ns)) <= count.time_ns);
	CHECK_EQ(count.times[response_bucket(count.time_ns)], 1);
	http_bed_close(&pair);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(long_packets),
	        CHECK_CASE(ip_options),
	        CHECK_CASE(extension_headers),
	        CHECK_CASE(request_that_completes_the_handshake),
	        CHECK_CASE(worker_as_a_client),
	        CHECK_CASE(probes),
	        CHECK_CASE(segments_out_of_the_window),
	        CHECK_CASE(time_to_first_byte),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
