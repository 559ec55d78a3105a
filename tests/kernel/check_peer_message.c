/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/peer_message: messages with files that are slow to close. */
#include "kern/peer_message.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/held_child.h"
#include "beds/socket_bed.h"
#include "check/check.h"

#define LINGER_S  600
#define MANY      20 /* messages */
#define FILES_MAX 253
#define FEW_FILES 100

/* Sends @text with @n copies of @file, or without files. */
static bool send_files(int fd, const char *text, int file, size_t n, int flags)
{
	union {
		char buf[CMSG_SPACE(FILES_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec part = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *header = (struct cmsghdr *)control.buf;

	if (n) {
		message.msg_control = control.buf;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(n * sizeof(int));
	}
	for (size_t i = 0; i < n; i++)
		((int *)CMSG_DATA(header))[i] = file;
	return sendmsg(fd, &message, flags | MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Sends @text with a socket that lingers, which is open nowhere else then. */
static bool send_lingering(int fd, const char *text, int flags)
{
	const int file = dup(socket_bed_connect_lingering(LINGER_S));
	bool ok;

	close(socket_bed_fds[--socket_bed_n]);
	ok = send_files(fd, text, file, 1, flags);
	if (ok)
		close(file);
	return ok;
}

static void open_pair(int type, int ret[2])
{
	CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) == 0);
	socket_bed_keep(ret[0]);
}

static void expect(int fd, const char *text)
{
	char got[64];
	size_t n = 0;

	CHECK_EQ(peer_message_receive(fd, got, sizeof(got), &n, NULL), PEER_MESSAGE_TAKEN);
	CHECK_MSG(n == strlen(text) && memcmp(got, text, n) == 0, "'%.*s', not '%s'", (int)n, got,
	          text);
}

static void expect_none(int fd)
{
	char got[64];
	size_t n = 0;

	CHECK_EQ(peer_message_receive(fd, got, sizeof(got), &n, NULL), PEER_MESSAGE_NONE);
}

/* If one close had waited, the case would take LINGER_S. */
static void expect_quick(int64_t begin)
{
	CHECK(clock_ns(CLOCK_MONOTONIC) - begin < LINGER_S / 2 * NS_PER_S);
}

/* All text comes, each once. */
static void stream_with_lingering_files(void)
{
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	int pair[2];

	open_pair(SOCK_STREAM, pair);
	CHECK(send_files(pair[0], "one ", -1, 0, 0) && send_lingering(pair[0], "two ", 0) &&
	      send_files(pair[0], "three ", -1, 0, 0) && send_lingering(pair[0], "four", 0));
	expect(pair[1], "one two ");
	expect(pair[1], "three four");
	expect_none(pair[1]);
	for (size_t i = 0; i < MANY; i++) {
		CHECK(send_lingering(pair[0], "more", 0));
		expect(pair[1], "more");
	}
	close(pair[1]);
	expect_quick(begin);
}

static void datagrams_with_lingering_files(void)
{
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	const int on = 1;
	struct ucred sender;
	char got[64];
	int pair[2];
	size_t n;

	open_pair(SOCK_DGRAM, pair);
	CHECK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	CHECK(send_files(pair[0], "one", -1, 0, 0) && send_lingering(pair[0], "two", 0) &&
	      send_lingering(pair[0], "", 0) && send_files(pair[0], "a long text", -1, 0, 0));
	expect(pair[1], "one");
	CHECK_EQ(peer_message_receive(pair[1], got, sizeof(got), &n, &sender), PEER_MESSAGE_TAKEN);
	CHECK(n == 3 && !memcmp(got, "two", 3) && sender.pid == getpid());
	expect(pair[1], "");
	CHECK_EQ(peer_message_receive(pair[1], got, 2, &n, &sender), PEER_MESSAGE_TAKEN);
	CHECK(n == strlen("a long text") && sender.pid == getpid());
	expect_none(pair[1]);
	close(pair[1]);
	expect_quick(begin);
}

/* The kernel would drop what is out of band, with its files, when the data after it is read. */
static void urgent_data_with_a_lingering_file(void)
{
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	int pair[2];

	open_pair(SOCK_STREAM, pair);
	peer_message_take_urgent(pair[1]);
	CHECK(send_files(pair[0], "one ", -1, 0, 0));
	if (!send_lingering(pair[0], "!", MSG_OOB))
		check_skip("the kernel has no out-of-band data here");
	CHECK(send_files(pair[0], " two", -1, 0, 0));
	expect(pair[1], "one ");
	expect(pair[1], "!");
	expect(pair[1], " two");
	expect_none(pair[1]);
	close(pair[1]);
	expect_quick(begin);
}

static void close_with_lingering_files(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	int pair[2], other;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		open_pair(types[i], pair);
		CHECK(send_files(pair[0], "one", -1, 0, 0) && send_lingering(pair[0], "two", 0));
		CHECK(types[i] == SOCK_STREAM || send_files(pair[0], "", -1, 0, 0));
		CHECK(send_lingering(pair[0], "three", 0));
		other = dup(pair[1]);
		peer_message_close(pair[1]);
		CHECK(!send_files(pair[0], "four", -1, 0, 0) && errno == EPIPE);
		close(other);
	}
	peer_message_close(-1);
	expect_quick(begin);
}

static void refused_files(void)
{
	int pair[2];

	open_pair(SOCK_STREAM, pair);
	if (!peer_message_refuse_files(pair[1])) {
		close(pair[1]);
		check_skip("the kernel has no SO_PASSRIGHTS");
	}
	CHECK(!send_files(pair[0], "one", 0, 1, 0) && errno == EPERM);
	CHECK(send_files(pair[0], "two", -1, 0, 0));
	expect(pair[1], "two");
	close(pair[1]);
}

/* A child that could not have all files of a message would close some of them before it ends. So no
 * child receives the message, and the socket stays open. */
static void few_descriptors(void)
{
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	const struct rlimit few = {FEW_FILES, FEW_FILES};
	char got[64];
	int pair[2];
	size_t n;

	open_pair(SOCK_STREAM, pair);
	CHECK(send_files(pair[0], "one", -1, 0, 0) && send_lingering(pair[0], "two", 0));
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(peer_message_receive(pair[1], got, sizeof(got), &n, NULL),
		         PEER_MESSAGE_STUCK);
	held_child_reap(); /* as peer_message_close() does: a child that has ended */
	n = socket_bed_count_descriptors();
	peer_message_close(pair[1]);
	CHECK(socket_bed_count_descriptors() <= n); /* a child that has ended has one less */
	expect_quick(begin);
}

/* Of many files, too. Nothing of the child stays. */
static void many_files(void)
{
	int pair[2], ends[2];
	size_t n;

	open_pair(SOCK_STREAM, pair);
	n = socket_bed_count_descriptors();
	CHECK(pipe(ends) == 0);
	for (size_t i = 0; i < MANY; i++)
		CHECK(send_files(pair[0], "text", ends[1], FILES_MAX, 0));
	close(ends[1]);
	for (size_t i = 0; i < MANY / 2; i++)
		expect(pair[1], "text");
	peer_message_close(pair[1]);
	CHECK_UNTIL(read(ends[0], &(char){0}, 1) == 0);
	close(ends[0]);
	/* One of a child that has not been reaped yet. Those of earlier cases may be gone. */
	CHECK(socket_bed_count_descriptors() <= n);
	CHECK_UNTIL(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(stream_with_lingering_files),
	        CHECK_CASE(datagrams_with_lingering_files),
	        CHECK_CASE(urgent_data_with_a_lingering_file),
	        CHECK_CASE(close_with_lingering_files),
	        CHECK_CASE(refused_files),
	        {.name = "few_descriptors", .run = few_descriptors, .apart = true},
	        CHECK_CASE(many_files),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
