/* SPDX-License-Identifier: BSD-2-Clause */
/* supervise/channel, with workers that write anything. check_channel_node.c has Node.js programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/loop_bed.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "supervise/channel.h"

#define LINE_MAX_BYTES (1 << 16)
#define HEARD_MAX      64
#define SLOT           7
#define NUMBER         12

struct talk {
	sd_event *loop;
	struct channel *channel;
	int worker; /* the worker's end */
	char heard[HEARD_MAX][64];
	size_t n;
	bool free_at_once; /* free the channel when a message comes */
};

static void hear(const char *text, void *data)
{
	struct talk *talk = data;

	if (talk->n < HEARD_MAX)
		snprintf(talk->heard[talk->n], sizeof(talk->heard[0]), "%s", text);
	talk->n++;
	if (talk->free_at_once)
		channel_free(TAKE_PTR(talk->channel));
}

static struct talk talk_new(void)
{
	return (struct talk){.loop = loop_bed_new(), .worker = -1};
}

static void talk_end(struct talk *talk)
{
	channel_free(talk->channel);
	cleanup_close(&talk->worker);
	sd_event_unref(talk->loop);
}

#define _cleanup_talk_ _cleanup_(talk_end)

static bool talk_open(struct talk *talk)
{
	struct error err;

	return talk->loop && channel_new(talk->loop, SLOT, NUMBER, hear, talk, &talk->channel,
	                                 &talk->worker, &err) == 0;
}

/* Runs the loop while there is no room: after much text the channel makes a pause. */
static bool say(const struct talk *talk, const char *text)
{
	const int64_t end = deadline_ms();
	ssize_t sent;

	while ((sent = send(talk->worker, text, strlen(text), MSG_DONTWAIT)) < 0 &&
	       errno == EAGAIN && deadline_clock_ms() < end)
		sd_event_run(talk->loop, 10000);
	return sent == (ssize_t)strlen(text);
}

/* Sends @n times the same byte, while the loop runs. */
static bool say_much(const struct talk *talk, char byte, size_t n)
{
	const int64_t end = deadline_ms();
	char piece[4096];

	memset(piece, byte, sizeof(piece));
	while (n > 0 && deadline_clock_ms() < end) {
		const size_t length = n < sizeof(piece) ? n : sizeof(piece);
		const ssize_t sent = send(talk->worker, piece, length, MSG_DONTWAIT);

		if (sent > 0)
			n -= (size_t)sent;
		else
			sd_event_run(talk->loop, 10000);
	}
	return n == 0;
}

/* ---- Messages from the worker ---- */

static void messages_are_decoded(void)
{
	static const struct {
		const char *line, *expected; /* NULL = ignored */
	} lines[] = {
	        {"\"ready\"", "ready"},
	        {"  \"ready\" \r", "ready"},
	        {"\"a \\\"b\\\" \\u00e4 \\n\"", "a \"b\" \u00e4 \n"},
	        {"\"\"", ""},
	        {"{\"type\":\"ready\"}", "ready"},
	        {"{\"pid\":7,\"type\":\"ready\",\"data\":{\"a\":[1,2]}}", "ready"},
	        {"{\"type\":\"process:msg\",\"data\":\"ready\"}", "ready"},
	        {"{\"cmd\":\"start\",\"type\":\"ready\"}", "ready"},
	        {"{\"type\":\"process:msg\",\"data\":{\"success\":true}}", NULL},
	        {"{\"type\":\"process:msg\"}", NULL},
	        {"{\"type\":\"process:msg\",\"data\":null}", NULL},
	        {"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":\"ready\"}", NULL},
	        {"{\"cmd\":\"NODE_CLUSTER\",\"act\":\"listening\"}", NULL},
	        {"{\"type\":7}", NULL},
	        {"{\"data\":\"ready\"}", NULL},
	        {"\"ready\\u0000\"", NULL},
	        {"", NULL},
	        {"ready", NULL},
	        {"'ready'", NULL},
	        {"\"ready", NULL},
	        {"ready\"", NULL},
	        {"\"ready\" \"ready\"", NULL},
	        {"{\"type\":\"ready\"", NULL},
	        {"{\"type\":\"ready\"}}", NULL},
	        {"[\"ready\"]", NULL},
	        {"null", NULL},
	        {"7", NULL},
	        {"\xff\xfe\x01", NULL},
	};
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk));
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const size_t n = lines[i].expected ? 2 : 1;

		talk.n = 0;
		CHECK(say(&talk, lines[i].line) && say(&talk, "\n\"next\"\n"));
		CHECK_LOOP(talk.loop, talk.n && !strcmp(talk.heard[talk.n - 1], "next"));
		CHECK_MSG(talk.n == n && (n == 1 || !strcmp(talk.heard[0], lines[i].expected)),
		          "%s: heard %zu, first '%s'", lines[i].line, talk.n, talk.heard[0]);
	}
}

/* Byte by byte; the loop reads each before the next. */
static void message_in_pieces(void)
{
	static const char text[] = "{\"type\": \"ready\"}\n\n\"second\"\n";
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk));
	for (const char *at = text; *at; at++) {
		CHECK(send(talk.worker, at, 1, 0) == 1);
		loop_bed_drain(talk.loop);
		CHECK(talk.n == (size_t)(at - text >= 17) + (*at == '\n' && !at[1]));
	}
	CHECK(!strcmp(talk.heard[0], "ready") && !strcmp(talk.heard[1], "second"));
}

static void several_messages_at_once(void)
{
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk));
	CHECK(say(&talk, "\"1\"\nno\n\"2\"\n\n\"3\"\n\"4"));
	CHECK_LOOP(talk.loop, talk.n == 3);
	CHECK(say(&talk, "4\"\n\"5\"\n"));
	CHECK_LOOP(talk.loop, talk.n == 5);
	CHECK(!strcmp(talk.heard[0], "1") && !strcmp(talk.heard[1], "2") &&
	      !strcmp(talk.heard[2], "3") && !strcmp(talk.heard[3], "44") &&
	      !strcmp(talk.heard[4], "5"));
}

/* A line of the maximum length, one that is a byte longer, and one that is far too long. Of a line
 * that is too long no part is a message; the next line is. */
static void long_lines(void)
{
	static const struct {
		size_t n;
		bool heard;
	} kinds[] = {
	        {50000, true},
	        {LINE_MAX_BYTES, true},
	        {LINE_MAX_BYTES + 1, false},
	        {8 * LINE_MAX_BYTES, false},
	};
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *expected = kinds[i].heard ? "long" : "next";

		talk.n = 0;
		CHECK(say_much(&talk, ' ', kinds[i].n - strlen("\"long\"")));
		CHECK(say(&talk, "\"long\"\n\"next\"\n"));
		CHECK_LOOP(talk.loop, talk.n && !strcmp(talk.heard[talk.n - 1], "next"));
		CHECK(talk.n == (size_t)kinds[i].heard + 1 && !strcmp(talk.heard[0], expected));
	}
}

/* Nested deeper than any message. */
static void deeply_nested_message(void)
{
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk) && say_much(&talk, '[', LINE_MAX_BYTES / 2));
	CHECK(say_much(&talk, ']', LINE_MAX_BYTES / 2) && say(&talk, "\n\"next\"\n"));
	CHECK_LOOP(talk.loop, talk.n == 1 && !strcmp(talk.heard[0], "next"));
}

/* The callback may free the channel while more messages are pending. */
static void channel_freed_by_its_callback(void)
{
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk));
	talk.free_at_once = true;
	CHECK(say(&talk, "\"1\"\n\"2\"\n\"3"));
	CHECK_LOOP(talk.loop, talk.n == 1);
	loop_bed_drain(talk.loop);
	CHECK(talk.n == 1);
}

/* A message that was sent before the end arrives; then the loop has no more events. */
static void worker_closes_its_end(void)
{
	_cleanup_talk_ struct talk talk = talk_new();

	CHECK(talk_open(&talk));
	CHECK(channel_send(talk.channel, "never read") == 0);
	CHECK(say(&talk, "\"last\"\n\"cut"));
	close(TAKE_FD(talk.worker));
	CHECK_LOOP(talk.loop, talk.n == 1 && !strcmp(talk.heard[0], "last"));
	CHECK_LOOP(talk.loop, sd_event_run(talk.loop, 0) == 0);
	CHECK(channel_send(talk.channel, "drain") == -EPIPE && talk.n == 1);
}

/* ---- Messages to the worker ---- */

static void send_messages(void)
{
	_cleanup_talk_ struct talk talk = talk_new();
	static const char expected[] = "\"drain\"\n\"a \\\"b\\\" \\n\"\n";
	char text[512] = "";

	CHECK(talk_open(&talk));
	CHECK(channel_send(talk.channel, "drain") == 0);
	CHECK(channel_send(talk.channel, "a \"b\" \n") == 0);
	CHECK(recv(talk.worker, text, sizeof(text) - 1, 0) == (ssize_t)strlen(expected));
	CHECK(!strcmp(text, expected));
	memset(text, 'x', 300);
	CHECK(channel_send(talk.channel, text) == -EMSGSIZE);
	CHECK(recv(talk.worker, text, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

/* The worker does not read: channel_send() does not block, and the worker later reads whole lines
 * only. */
static void send_to_a_worker_that_does_not_read(void)
{
	_cleanup_talk_ struct talk talk = talk_new();
	size_t n = 0, n_read = 0;
	char line[8];
	int r;

	CHECK(talk_open(&talk));
	while ((r = channel_send(talk.channel, "drain")) == 0)
		n++;
	CHECK(r == -EAGAIN && n > 10);
	while (recv(talk.worker, line, sizeof(line), MSG_DONTWAIT) == sizeof(line)) {
		CHECK(!memcmp(line, "\"drain\"\n", sizeof(line)));
		n_read++;
	}
	CHECK(errno == EAGAIN && n_read == n);
	CHECK(channel_send(talk.channel, "drain") == 0);
}

/* ---- Taking a channel over from a log process ---- */

/* A process that keeps all descriptors open. */
static void run_hold(int fd)
{
	children_hold(-1);
}

struct found {
	int fd;
	size_t n;
};

static void find(unsigned int slot, unsigned int number, int fd, void *data)
{
	struct found *found = data;

	CHECK(slot == SLOT && number == NUMBER);
	cleanup_close(&found->fd);
	found->fd = fd;
	found->n++;
}

/* Among other sockets, with names and without. */
static void channel_taken_over(void)
{
	_cleanup_talk_ struct talk talk = talk_new();
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0reuseportd-channel-x-1-2"};
	struct error err;
	uint32_t pid;
	int pair[2];

	CHECK(talk_open(&talk) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	socket_bed_keep(pair[0]);
	socket_bed_keep(pair[1]);
	socket_bed_keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	CHECK(bind(pair[1], (struct sockaddr *)&name, sizeof(name)) == 0);
	CHECK(fcntl(channel_fd(talk.channel), F_GETFD) == FD_CLOEXEC &&
	      fcntl(talk.worker, F_GETFD) == FD_CLOEXEC);
	pid = children_start(run_hold, -1);
	for (int supervisors = 0; supervisors < 3; supervisors++) {
		struct found found = {.fd = -1};
		char line[9] = "";

		channel_free(TAKE_PTR(talk.channel));
		talk.n = 0;
		CHECK(say(&talk, "\"meanwhile\"\n"));
		channel_list(pid, find, &found);
		CHECK(found.n == 1 && fcntl(found.fd, F_GETFD) == FD_CLOEXEC);
		CHECK(channel_open(talk.loop, found.fd, hear, &talk, &talk.channel, &err) == 0);
		CHECK_LOOP(talk.loop, talk.n == 1 && !strcmp(talk.heard[0], "meanwhile"));
		CHECK(channel_send(talk.channel, "drain") == 0);
		CHECK(recv(talk.worker, line, 8, 0) == 8 && !strcmp(line, "\"drain\"\n"));
	}
}

static void take_over_from_a_dead_process(void)
{
	const pid_t pid = fork();
	struct found found = {.fd = -1};

	if (pid == 0)
		_exit(0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	channel_list((uint32_t)pid, find, &found);
	CHECK(found.n == 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(messages_are_decoded),
	        CHECK_CASE(message_in_pieces),
	        CHECK_CASE(several_messages_at_once),
	        CHECK_CASE(long_lines),
	        CHECK_CASE(deeply_nested_message),
	        CHECK_CASE(channel_freed_by_its_callback),
	        CHECK_CASE(worker_closes_its_end),
	        CHECK_CASE(send_messages),
	        CHECK_CASE(send_to_a_worker_that_does_not_read),
	        CHECK_CASE(channel_taken_over),
	        CHECK_CASE(take_over_from_a_dead_process),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
