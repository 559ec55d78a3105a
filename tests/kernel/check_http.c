/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf/http.bpf.c: which segments of real connections count as responses, of which class. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "beds/http_bed.h"
#include "check/check.h"
#include "kern/http.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
#define BAD "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"

/* What the two ends send, each text in a segment of its own. */
struct step {
	char from; /* 'c': the client, 's': the server, 0: the end */
	const char *text;
};

struct script {
	const char *name;
	struct step steps[12];
	unsigned int repeat; /* 0: once */
	/* What is counted: unknown, 1xx ... 5xx, and times. */
	unsigned int of[RESPONSE_CLASS_MAX], timed;
	unsigned int due; /* requests that have had no response at the end */
};

static const struct script scripts[] = {
        {"keep-alive",
         {{'c', GET}, {'s', OK}, {'c', GET}, {'s', BAD}},
         100,
         {0, 0, 100, 0, 0, 100},
         200},
        {"all classes",
         {{'c', GET},
          {'s', "HTTP/1.1 204 No Content\r\n\r\n"},
          {'c', GET},
          {'s', "HTTP/1.0 301 Moved\r\n\r\n"},
          {'c', GET},
          {'s', "HTTP/1.1 404 Not Found\r\n\r\n"},
          {'c', GET},
          {'s', "HTTP/1.1 599 X\r\n\r\n"}},
         0,
         {0, 0, 1, 1, 1, 1},
         4},
        {"response in several segments",
         {{'c', GET},
          {'s', "HTTP/1.1 200 OK\r\n"},
          {'s', "Content-Length: 8\r\n\r\n"},
          {'s', "more"},
          {'s', "body"}},
         3,
         {0, 0, 3},
         3},
        {"request in several segments",
         {{'c', "GET / HTTP/1.1\r\n"}, {'c', "Host: a\r\n"}, {'c', "\r\n"}, {'s', OK}},
         3,
         {0, 0, 3},
         3},
        {"body of a request",
         {{'c', "POST / HTTP/1.1\r\n\r\n"}, {'c', "GETGETGET"}, {'c', "body"}, {'s', OK}},
         3,
         {0, 0, 3},
         3},
        {"chunked",
         {{'c', GET},
          {'s', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
          {'s', "4\r\nbody\r\n"},
          {'s', "0\r\n\r\n"}},
         3,
         {0, 0, 3},
         3},
        {"HEAD",
         {{'c', "HEAD / HTTP/1.1\r\n\r\n"}, {'s', "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"}},
         3,
         {0, 0, 3},
         3},
        {"100-continue",
         {{'c', "POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n"},
          {'s', "HTTP/1.1 100 Continue\r\n\r\n"},
          {'c', "body"},
          {'s', OK}},
         3,
         {0, 3, 3},
         3},
        {"early hints",
         {{'c', GET}, {'s', "HTTP/1.1 103 Early Hints\r\n\r\n"}, {'s', OK}},
         3,
         {0, 3, 3},
         3},
        {"text of a status line in a body",
         {{'c', GET},
          {'s', "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n"},
          {'s', "say HTTP/1.1 500 Oh\r\n\r\n"}},
         3,
         {0, 0, 3},
         3},
        {"body that begins as a response",
         {{'c', GET}, {'s', "HTTP/1.1 200 OK\r\n\r\n"}, {'s', BAD}},
         3,
         {3, 0, 3},
         3},
        {"early response",
         {{'c', "POST / HTTP/1.1\r\n\r\n"},
          {'s', "HTTP/1.1 413 Big\r\n\r\n"},
          {'c', "body"},
          {'s', BAD}},
         3,
         {3, 0, 0, 0, 3},
         3},
        {"upgrade",
         {{'c', GET},
          {'s', "HTTP/1.1 101 Switching Protocols\r\n\r\n"},
          {'c', GET},
          {'s', BAD},
          {'s', OK}},
         0,
         {0, 1},
         1},
        {"pipelined in one segment", {{'c', GET GET}, {'s', OK}, {'s', BAD}}, 0, {1, 0, 1}, 1},
        {"pipelined, answered in one segment", {{'c', GET GET}, {'s', OK BAD}}, 0, {0, 0, 1}, 1},
        {"pipelined",
         {{'c', GET}, {'c', GET}, {'s', OK}, {'s', BAD}, {'c', GET}, {'s', BAD}},
         0,
         {3},
         0},
        {"pipelined into a response",
         {{'c', GET}, {'s', "HTTP/1.1 200 OK\r\n\r\n"}, {'c', GET}, {'s', "body"}, {'s', BAD}},
         0,
         {1, 0, 1},
         1},
        {"split status line", {{'c', GET}, {'s', "HTTP/1."}, {'s', "1 200 OK\r\n\r\n"}}, 3, {3}, 0},
        {"TLS",
         {{'c', "\x16\x03\x01 hello"},
          {'s', "\x16\x03\x03 hello"},
          {'c', "\x17\x03\x03 data"},
          {'s', "\x17\x03\x03 data"}},
         0,
         {1},
         1},
        {"HTTP/2",
         {{'c', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, {'s', "\x01\x02\x03"}, {'s', "\x04"}},
         0,
         {1},
         1},
        {"server speaks first",
         {{'s', "220 mail\r\n"}, {'c', "HELO\r\n"}, {'s', "250\r\n"}},
         0,
         {1},
         0},
        {"echo of requests and responses",
         {{'c', BAD}, {'s', BAD}, {'c', GET}, {'s', GET}},
         0,
         {0, 0, 0, 0, 0, 1},
         1,
         1},
        {"no answer", {{'c', GET}, {'s', OK}, {'c', GET}}, 0, {0, 0, 1}, 1, 1},
        {"no answer at all", {{'c', "\x16\x03\x01 hello"}}, 0, {}, 0, 1},
        {"only an interim response",
         {{'c', GET}, {'s', "HTTP/1.1 100 Continue\r\n\r\n"}},
         0,
         {0, 1},
         0,
         1},
        {"byte by byte", {{'c', "G"}, {'c', "ET / HTTP/1.1\r\n\r\n"}, {'s', OK}}, 2, {1, 0, 1}, 1},
};

static void say(const struct http_pair *pair, char from, const void *data, size_t n)
{
	if (from == 'c')
		http_bed_send(pair->client, pair->server, data, n);
	else
		http_bed_send(pair->server, pair->client, data, n);
}

static void play(const struct http_pair *pair, const struct script *script)
{
	for (unsigned int i = 0; i == 0 || i < script->repeat; i++)
		for (const struct step *step = script->steps; step->from; step++)
			say(pair, step->from, step->text, strlen(step->text));
}

/* Requests of the worker that have had no response, and will have none. */
static unsigned int count_due(void)
{
	struct response_row row;

	CHECK_EQ(http_get_row(&run_service.http, 0, &row), 0);
	return (unsigned int)response_count_unanswered(&row.requests, RESPONSE_COUNT_EVER);
}

static void play_over(const struct http_bed *bed, int family)
{
	struct http_pair pair;
	unsigned int of[RESPONSE_CLASS_MAX] = {}, timed = 0, due = 0;

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		pair = http_bed_connect(bed, family);
		play(&pair, &scripts[i]);
		for (unsigned int c = 0; c < RESPONSE_CLASS_MAX; c++)
			of[c] += scripts[i].of[c];
		timed += scripts[i].timed;
		http_bed_expect(scripts[i].name, of, timed);
		http_bed_close(&pair);
		due += scripts[i].due;
		CHECK_MSG(count_due() == due, "%s: %u requests are due, not %u", scripts[i].name,
		          count_due(), due);
	}
}

static void ipv4(void)
{
	_cleanup_http_bed_ struct http_bed bed;

	http_bed_begin(&bed, AF_INET, false);
	play_over(&bed, AF_INET);
}

static void ipv6(void)
{
	_cleanup_http_bed_ struct http_bed bed;

	http_bed_begin(&bed, AF_INET6, true);
	play_over(&bed, AF_INET6);
}

static void ipv4_by_a_listener_of_both(void)
{
	_cleanup_http_bed_ struct http_bed bed;

	http_bed_begin(&bed, AF_INET6, false);
	play_over(&bed, AF_INET);
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
