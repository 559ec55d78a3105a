/* SPDX-License-Identifier: BSD-2-Clause */
/* What begins an HTTP response (bpf/http_exchange.h), compiled for the host: also segments that
 * come again, and in another order. */

#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "bpf/http_exchange.h"

#define NONE HTTP_NO_RESPONSE

/* Both directions begin just before the sequence numbers wrap. */
#define FIRST 0xfffffff0u

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* A connection, and how far each side has sent. */
struct peers {
	struct http_exchange it;
	uint32_t client, server;
	__u64 now, ns;
};

static struct peers begin(uint32_t flags)
{
	return (struct peers){.it.flags = flags, .client = FIRST, .server = FIRST, .now = 1000};
}

static struct http_segment cut(const char *text, uint32_t seq, uint32_t ack)
{
	const size_t n = strlen(text);
	struct http_segment segment = {.seq = seq, .end = seq + (uint32_t)n, .ack = ack};

	segment.n_head = n < HTTP_HEAD_MAX ? (uint32_t)n : HTTP_HEAD_MAX;
	memcpy(segment.head, text, segment.n_head);
	return segment;
}

/* The client sends; it has acknowledged all but @unacked bytes. */
static void ask_before(struct peers *p, const char *text, uint32_t unacked)
{
	const struct http_segment segment = cut(text, p->client, p->server - unacked);

	p->now += 100;
	http_exchange_receive(&p->it, &segment, p->now);
	p->client = segment.end;
}

static void ask(struct peers *p, const char *text)
{
	ask_before(p, text, 0);
}

static int answer(struct peers *p, const char *text)
{
	const struct http_segment segment = cut(text, p->server, p->client);

	p->now += 7;
	p->ns = 0;
	p->server = segment.end;
	return http_exchange_send(&p->it, &segment, p->now, &p->ns);
}

/* Sends what the client has sent @back bytes ago again. */
static void ask_again(struct peers *p, const char *text, uint32_t back)
{
	const struct http_segment segment = cut(text, p->client - back, p->server);

	http_exchange_receive(&p->it, &segment, p->now);
}

static int answer_again(struct peers *p, const char *text)
{
	const struct http_segment segment =
	        cut(text, p->server - (uint32_t)strlen(text), p->client);

	return http_exchange_send(&p->it, &segment, p->now, &p->ns);
}

static void keep_alive(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	for (int i = 0; i < 10; i++) {
		ask(&p, GET);
		assert_int_equal(answer(&p, OK), 2);
		assert_int_equal(p.ns, 7);
		assert_int_equal(answer(&p, "the rest of the body"), NONE);
	}
	ask(&p, GET);
	assert_int_equal(answer(&p, "HTTP/1.0 503 Down\r\n"), 5);
	ask(&p, "DELETE /a HTTP/1.1\r\n\r\n");
	assert_int_equal(answer(&p, "HTTP/1.1 404\r\n"), 4);
	ask(&p, "OPTIONS * HTTP/1.1\r\n\r\n");
	assert_int_equal(answer(&p, "HTTP/1.1 304 Not Modified\r\n"), 3);
}

static void methods(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = {
	        {"GET / HTTP/1.1\r\n", true},
	        {"GET http://a/ HTTP/1.1", true},
	        {"OPTIONS * HTTP/1.1", true},
	        {"VERSION-CONTROL /a HTTP/1.1", false},
	        {"PROPFIND /a HTTP/1.1", true},
	        {"M-SEARCH * HTTP/1.1", true},
	        {"GET  / HTTP/1.1", false},
	        {"get / HTTP/1.1", false},
	        {"CONNECT a:443 HTTP/1", false},
	        {"AAAAAAAAAAAAAAAAAAAA", false},
	        {"GET", false},
	        {"GET /", true},
	        {"GET ", false},
	        {"A / B", false},
	        {"{\"a\": 1}", false},
	        {"", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct http_segment segment = cut(cases[i].text, 0, 0);

		if (http_exchange_is_request(&segment) != cases[i].is)
			fail_msg("%s", cases[i].text);
	}
}

static void status_lines(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
	        {"HTTP/1.1 200 OK\r\n", 200},
	        {"HTTP/1.0 999 ?\r\n", 999},
	        {"HTTP/1.1 200\r\n", 200},
	        {"HTTP/1.1 200", 200},
	        {"HTTP/1.1 2000 OK\r\n", 0},
	        {"HTTP/1.2 200 OK\r\n", 0},
	        {"HTTP/2 200 OK\r\n", 0},
	        {"HTTP/1.1 20x OK\r\n", 0},
	        {"HTTP/1.1  200 OK\r\n", 0},
	        {"http/1.1 200 OK\r\n", 0},
	        {"HTTP/1.1 20", -1},
	        {"H", -1},
	        {"HTTPS", 0},
	        {"hello", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct http_segment segment = cut(cases[i].text, 0, 0);

		if (http_exchange_status(&segment) != cases[i].status)
			fail_msg("%s: %d", cases[i].text, http_exchange_status(&segment));
	}
}

static void status_out_of_range_is_unknown(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, GET);
	assert_int_equal(answer(&p, "HTTP/1.1 600 A\r\n"), RESPONSE_UNKNOWN);
	ask(&p, GET);
	assert_int_equal(answer(&p, "HTTP/1.1 099 A\r\n"), RESPONSE_UNKNOWN);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
}

static void body_with_a_status_line_is_not_due(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n\r\n"), RESPONSE_UNKNOWN);
	/* nor is it while a request's body comes in, which began before the response */
	ask(&p, "POST / HTTP/1.1\r\n");
	assert_int_equal(answer(&p, OK), 2);
	ask(&p, "the body");
	assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n\r\n"), RESPONSE_UNKNOWN);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
}

static void request_with_a_long_body(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, "POST /a HTTP/1.1\r\n");
	for (int i = 0; i < 5; i++)
		ask(&p, "AAAAAAAAAAAAAAAAAAAAAAAAAAA");
	assert_int_equal(answer(&p, OK), 2);
	assert_int_equal(p.ns, 7); /* since the last packet */
}

static void interim_responses(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, "POST /a HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
	assert_int_equal(answer(&p, "HTTP/1.1 100 Continue\r\n\r\n"), 1);
	assert_int_equal(p.ns, 0);
	ask(&p, "the body");
	assert_int_equal(answer(&p, OK), 2);
	assert_int_equal(p.ns, 7);
	ask(&p, GET);
	assert_int_equal(answer(&p, "HTTP/1.1 103 Early Hints\r\n\r\n"), 1);
	assert_int_equal(answer(&p, "HTTP/1.1 103 Early Hints\r\n\r\n"), 1);
	assert_int_equal(answer(&p, OK), 2);
	assert_int_equal(p.ns, 21); /* since the request, not since the hint */
	assert_int_equal(answer(&p, OK), RESPONSE_UNKNOWN);
}

static void upgrade_ends_it(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, GET);
	assert_int_equal(answer(&p, "HTTP/1.1 101 Switching Protocols\r\n\r\n"), 1);
	assert_int_equal(p.ns, 7);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), NONE);
}

static void other_protocols_count_once(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, "\x16\x03\x01\x02");
	assert_int_equal(answer(&p, "\x16\x03\x03"), RESPONSE_UNKNOWN);
	assert_int_equal(p.ns, 7);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), NONE);
	p = begin(HTTP_FRESH); /* HTTP/2 */
	ask(&p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	assert_int_equal(answer(&p, "\0\0\x12\x04"), RESPONSE_UNKNOWN);
	p = begin(HTTP_FRESH); /* the server speaks first */
	assert_int_equal(answer(&p, "220 mail"), RESPONSE_UNKNOWN);
	assert_int_equal(p.ns, 0);
	assert_int_equal(answer(&p, OK), NONE);
}

static void request_that_was_not_seen(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	assert_int_equal(answer(&p, OK), 2); /* it came with the handshake */
	assert_int_equal(p.ns, 0);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	assert_int_equal(p.ns, 7);
	assert_int_equal(answer(&p, "HTTP/1.1 408 Timeout\r\n"), RESPONSE_UNKNOWN);
}

static void pipelining(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, GET GET); /* looks like one */
	assert_int_equal(answer(&p, OK), 2);
	assert_int_equal(answer(&p, OK), RESPONSE_UNKNOWN);
	p = begin(HTTP_FRESH);
	ask(&p, GET);
	ask(&p, GET);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n"), RESPONSE_UNKNOWN);
		assert_int_equal(answer(&p, "the body"), NONE);
	}
	ask(&p, GET); /* from then on */
	assert_int_equal(answer(&p, OK), RESPONSE_UNKNOWN);
	p = begin(HTTP_FRESH);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	ask_before(&p, GET, 1); /* it can't have the whole response */
	assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n"), RESPONSE_UNKNOWN);
	p = begin(HTTP_FRESH);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	ask(&p, GET);
	assert_int_equal(answer(&p, "more of the body"), NONE);
	assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n"), RESPONSE_UNKNOWN);
}

static void split_status_line(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	for (int i = 0; i < 3; i++) {
		ask(&p, GET);
		assert_int_equal(answer(&p, "HTTP/1.1 "), RESPONSE_UNKNOWN);
		assert_int_equal(answer(&p, "200 OK\r\n"), NONE);
	}
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
}

static void split_request(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	ask(&p, "GE");
	ask(&p, "T / HTTP/1.1\r\n\r\n");
	assert_int_equal(answer(&p, OK), 2); /* the first bytes of the connection */
	ask(&p, "GE");
	ask(&p, "T / HTTP/1.1\r\n\r\n");
	assert_int_equal(answer(&p, OK), RESPONSE_UNKNOWN);
	ask(&p, "GET / HTTP/1.1\r\n");
	ask(&p, "Host: a\r\n\r\n");
	assert_int_equal(answer(&p, OK), 2);
}

static void segments_that_come_again(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	for (int i = 0; i < 3; i++) {
		ask(&p, GET);
		ask_again(&p, GET, sizeof(GET) - 1);
		assert_int_equal(answer(&p, OK), 2);
		ask_again(&p, GET, sizeof(GET) - 1);
		assert_int_equal(answer_again(&p, OK), NONE);
		assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n"), RESPONSE_UNKNOWN);
	}
}

static void segments_in_another_order(void **state)
{
	const char second[] = "the body", first[] = "POST / HTTP/1.1\r\n\r\n";
	struct peers p = begin(HTTP_FRESH);

	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	p.client += sizeof(first) - 1; /* lost */
	ask(&p, second);
	ask_again(&p, first, sizeof(first) + sizeof(second) - 2);
	assert_int_equal(answer(&p, OK), 2);
}

/* What the server has to answer: a request, or the first bytes of a connection. */
static void due(void **state)
{
	struct peers p = begin(HTTP_FRESH);

	assert_false(http_exchange_is_due(&p.it));
	ask(&p, "GE");
	assert_true(http_exchange_is_due(&p.it));
	ask(&p, "T / HTTP/1.1\r\n\r\n");
	assert_int_equal(answer(&p, "HTTP/1.1 103 Early Hints\r\n\r\n"), 1);
	assert_true(http_exchange_is_due(&p.it));
	answer(&p, OK);
	assert_false(http_exchange_is_due(&p.it));
	ask(&p, GET);
	assert_true(http_exchange_is_due(&p.it));
	answer(&p, "more of the last response");
	assert_true(http_exchange_is_due(&p.it));
	answer(&p, OK);
	assert_false(http_exchange_is_due(&p.it));
	answer(&p, OK); /* of its own accord */
	assert_false(http_exchange_is_due(&p.it));
	p = begin(HTTP_FRESH);
	ask(&p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	assert_true(http_exchange_is_due(&p.it));
	answer(&p, "\x01\x02");
	assert_false(http_exchange_is_due(&p.it));
	ask(&p, GET);
	assert_false(http_exchange_is_due(&p.it));
	p = begin(HTTP_FRESH); /* the server speaks first */
	answer(&p, "220 mail");
	ask(&p, "HELO");
	assert_false(http_exchange_is_due(&p.it));
	p = begin(HTTP_FRESH); /* the request came with the handshake */
	answer(&p, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_false(http_exchange_is_due(&p.it));
	p = begin(0); /* a connection that is older than the programs */
	ask(&p, "the rest of a body");
	assert_false(http_exchange_is_due(&p.it));
}

/* A connection that is older than the programs. */
static void joined_late(void **state)
{
	struct peers p = begin(0);

	assert_int_equal(answer(&p, "the rest of a body"), NONE);
	assert_int_equal(answer(&p, "HTTP/1.1 500 Oh\r\n"), RESPONSE_UNKNOWN);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	p = begin(0);
	ask(&p, GET);
	assert_int_equal(answer(&p, OK), 2);
	p = begin(0); /* the programs have not seen the request */
	assert_int_equal(answer(&p, OK), RESPONSE_UNKNOWN);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(keep_alive),
	        cmocka_unit_test(methods),
	        cmocka_unit_test(status_lines),
	        cmocka_unit_test(status_out_of_range_is_unknown),
	        cmocka_unit_test(body_with_a_status_line_is_not_due),
	        cmocka_unit_test(request_with_a_long_body),
	        cmocka_unit_test(interim_responses),
	        cmocka_unit_test(upgrade_ends_it),
	        cmocka_unit_test(other_protocols_count_once),
	        cmocka_unit_test(request_that_was_not_seen),
	        cmocka_unit_test(pipelining),
	        cmocka_unit_test(split_status_line),
	        cmocka_unit_test(split_request),
	        cmocka_unit_test(segments_that_come_again),
	        cmocka_unit_test(segments_in_another_order),
	        cmocka_unit_test(due),
	        cmocka_unit_test(joined_late),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
