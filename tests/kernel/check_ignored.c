/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf/conn.bpf.c and http.bpf.c: clients that are ignored. Their connections count as ignored, and
 * their responses don't count. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "beds/http_bed.h"
#include "check/check.h"
#include "core/client_net.h"
#include "kern/conns.h"
#include "kern/steer_ignored.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

static void ignore(const char *text)
{
	struct rpd_ignored ignored = {};

	if (text)
		CHECK_EQ(client_net_parse(text, &ignored.nets[ignored.n++]), 0);
	CHECK_EQ(steer_ignored_set(&run_service.steer, &ignored), 0);
}

/* A connection with a request and a response. The worker closes it, or resets it: it has not read
 * all. */
static void visit(const struct http_bed *bed, int family, bool resets)
{
	struct http_pair pair = http_bed_connect(bed, family);

	http_bed_send(pair.client, pair.server, GET, sizeof(GET) - 1);
	http_bed_send(pair.server, pair.client, OK, sizeof(OK) - 1);
	if (resets) {
		char byte;

		CHECK_EQ(send(pair.client, GET, sizeof(GET) - 1, MSG_NOSIGNAL), sizeof(GET) - 1);
		CHECK_EQ(recv(pair.server, &byte, 1, MSG_PEEK), 1);
	}
	cleanup_close(&pair.server);
	cleanup_close(&pair.client);
}

static void expect(unsigned int opened, unsigned int resets, unsigned int ignored_opened,
                   unsigned int ignored_resets)
{
	struct steer_ignored_count ignored;
	struct conn_count count;

	CHECK_EQ(conns_read_count(&run_service.steer, 0, &count), 0);
	CHECK_EQ(steer_ignored_read(&run_service.steer, 0, &ignored), 0);
	CHECK_EQ(count.of[RPD_CONN_opened], opened);
	CHECK_EQ(count.of[RPD_CONN_reset_by_worker], resets);
	CHECK_EQ(ignored.opened, ignored_opened);
	CHECK_EQ(ignored.reset_by_worker, ignored_resets);
	http_bed_expect("responses",
	                (const unsigned int[RESPONSE_CLASS_MAX]){0, 0, opened - ignored_opened},
	                opened - ignored_opened);
}

/* Connections from one family, to a listener of one, or of both. */
static void check_family(int listener, int client, const char *net, const char *other)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct steer_ignored_count cleared;

	http_bed_begin(&bed, listener, false);
	ignore(net);
	visit(&bed, client, false);
	visit(&bed, client, true);
	expect(2, 1, 2, 1);
	ignore(other);
	visit(&bed, client, false);
	visit(&bed, client, true);
	expect(4, 2, 2, 1);
	ignore(NULL);
	visit(&bed, client, false);
	expect(5, 2, 2, 1);
	CHECK_EQ(conns_clear_count(&run_service.steer, 0), 0);
	CHECK_EQ(steer_ignored_read(&run_service.steer, 0, &cleared), 0);
	CHECK_EQ(cleared.opened, 0);
}

static void ipv4(void)
{
	check_family(AF_INET, AF_INET, "127.0.0.0/8", "128.0.0.0/1");
}

static void ipv6(void)
{
	check_family(AF_INET6, AF_INET6, "::1", "2001:db8::/32");
}

static void ipv4_by_a_listener_of_both(void)
{
	check_family(AF_INET6, AF_INET, "127.0.0.0/8", "::1");
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(ipv4),
	        CHECK_CASE(ipv6),
	        CHECK_CASE(ipv4_by_a_listener_of_both),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
