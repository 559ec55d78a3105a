/* SPDX-License-Identifier: BSD-2-Clause */
/* supervise/notify, with sd_notify(3) and with plain datagrams. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/loop_bed.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "check/folder.h"
#include "supervise/notify.h"

#define FDS_MAX    253 /* SCM_MAX_FD of the kernel */
#define TEXT_MAX   4096
#define BARRIER_US (DEADLINE_S * 1000000ull)

struct ear {
	sd_event *loop;
	struct notify *notify;
	char path[64];
	uint32_t pid; /* of the last sender */
	size_t n;
};

static void hear(uint32_t pid, void *data)
{
	struct ear *ear = data;

	ear->pid = pid;
	ear->n++;
}

static struct ear ear_new(void)
{
	struct ear ear = {.loop = loop_bed_new()};

	snprintf(ear.path, sizeof(ear.path), "%s/notify", folder_path());
	return ear;
}

static void ear_end(struct ear *ear)
{
	notify_free(ear->notify);
	sd_event_unref(ear->loop);
}

#define _cleanup_ear_ _cleanup_(ear_end)

static bool ear_open(struct ear *ear)
{
	struct error err;

	return ear->loop && notify_new(ear->loop, ear->path, 0, hear, ear, &ear->notify, &err) == 0;
}

/* Opens a socket that sends to the path. */
static int speaker(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return socket_bed_keep(TAKE_FD(fd));
}

static void ready_lines(void)
{
	static const struct {
		const char *text;
		bool ready;
	} kinds[] = {
	        {"READY=1", true},
	        {"READY=1\n", true},
	        {"STATUS=up\nREADY=1\nMAINPID=7\n", true},
	        {"\n\nREADY=1", true},
	        {"MAINPID=7\nREADY=1", true},
	        {"READY=0", false},
	        {"READY=11", false},
	        {"READY=1 ", false},
	        {" READY=1", false},
	        {"STATUS=READY=1", false},
	        {"ALREADY=1", false},
	        {"READY", false},
	        {"STOPPING=1\nRELOADING=1\n", false},
	        {"", false},
	        {"\n", false},
	};
	_cleanup_ear_ struct ear ear = ear_new();
	size_t n = 0;
	int fd;

	CHECK(ear_open(&ear) && (fd = speaker(ear.path)) >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const size_t length = strlen(kinds[i].text);

		CHECK(send(fd, kinds[i].text, length, 0) == (ssize_t)length);
		CHECK(sd_event_run(ear.loop, BARRIER_US) > 0);
		n += kinds[i].ready;
		CHECK_MSG(ear.n == n && ear.pid == (n ? (uint32_t)getpid() : 0), "'%s'",
		          kinds[i].text);
	}
}

/* ---- The sender ---- */

static char notify_path[64]; /* what children send to */

static void run_sd_notify(int uid)
{
	setenv("NOTIFY_SOCKET", notify_path, true);
	if (setgid((gid_t)uid) < 0 || setuid((uid_t)uid) < 0)
		_exit(1);
	/* The process lives until the message is read: after that its pid may be another's. */
	shared->error = sd_notify(0, "STATUS=it listens\nREADY=1") > 0 &&
	                                sd_notify_barrier(0, BARRIER_US) > 0
	                        ? 0
	                        : 1;
	shared->stop = true;
	children_hold(-1);
}

/* The sender is a child, of any user. */
static void sender_is_known(void)
{
	static const int uids[] = {0, 65534};
	_cleanup_ear_ struct ear ear = ear_new();

	CHECK(ear_open(&ear));
	strcpy(notify_path, ear.path);
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		uint32_t pid = children_start(run_sd_notify, uids[i]);

		CHECK_LOOP(ear.loop, shared->stop);
		CHECK(shared->error == 0 && ear.n == i + 1 && ear.pid == pid);
		children_end();
	}
}

/* sd_notify_barrier() returns once the message is read, not before. */
static void barrier_waits_until_read(void)
{
	_cleanup_ear_ struct ear ear = ear_new();
	uint32_t pid;

	CHECK(ear_open(&ear));
	strcpy(notify_path, ear.path);
	pid = children_start(run_sd_notify, 0);
	CHECK(!shared->stop);
	CHECK_LOOP(ear.loop, shared->stop);
	CHECK(ear.n == 1 && ear.pid == pid);
	CHECK(shared->error == 0);
}

/* ---- Passed descriptors ---- */

static bool send_with_fds(int fd, const char *text, int passed, size_t n)
{
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = control.buf,
	                         .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		((int *)CMSG_DATA(header))[i] = passed;
	return sendmsg(fd, &message, 0) == (ssize_t)strlen(text);
}

static void passed_descriptors_are_closed(void)
{
	static const size_t counts[] = {1, 2, FDS_MAX};
	_cleanup_ear_ struct ear ear = ear_new();
	int fd, pipe[2];
	size_t before;

	CHECK(ear_open(&ear) && (fd = speaker(ear.path)) >= 0);
	before = socket_bed_count_descriptors();
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		CHECK(pipe2(pipe, O_CLOEXEC | O_NONBLOCK) == 0);
		CHECK(send_with_fds(fd, "FDSTORE=1\nREADY=1", pipe[1], counts[i]));
		close(pipe[1]);
		CHECK_LOOP(ear.loop, ear.n == i + 1);
		/* All of them are closed, since the pipe has no writer any more. */
		CHECK_UNTIL(read(pipe[0], &(char){0}, 1) == 0);
		close(pipe[0]);
		/* One of a child that has not been reaped yet. */
		CHECK_BETWEEN(socket_bed_count_descriptors(), before, before + 1);
	}
}

/* A message that is too long is ignored, and its descriptors are closed. */
static void long_message_is_ignored(void)
{
	_cleanup_ear_ struct ear ear = ear_new();
	char text[TEXT_MAX + 2] = "READY=1\n";
	int fd, pipe[2];

	CHECK(ear_open(&ear) && (fd = speaker(ear.path)) >= 0 &&
	      pipe2(pipe, O_CLOEXEC | O_NONBLOCK) == 0);
	memset(text + strlen(text), 'x', TEXT_MAX + 1 - strlen(text));
	CHECK(send_with_fds(fd, text, pipe[1], 1));
	close(pipe[1]);
	CHECK(sd_event_run(ear.loop, BARRIER_US) > 0 && ear.n == 0);
	CHECK_UNTIL(read(pipe[0], &(char){0}, 1) == 0);
	close(pipe[0]);
	text[TEXT_MAX] = '\0';
	CHECK(send(fd, text, TEXT_MAX, 0) == TEXT_MAX);
	CHECK_LOOP(ear.loop, ear.n == 1);
}

/* ---- The path of the socket ---- */

static void socket_path(void)
{
	_cleanup_ear_ struct ear first = ear_new();
	struct notify *second = NULL;
	struct stat st;
	struct error err;
	int fd;

	CHECK(close(open(first.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	CHECK(ear_open(&first) && stat(first.path, &st) == 0);
	CHECK(S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0666);
	/* The socket of a supervisor that was killed. */
	notify_free(TAKE_PTR(first.notify));
	CHECK(notify_new(first.loop, first.path, 0, hear, &first, &second, &err) == 0);
	first.notify = second;
	CHECK((fd = speaker(first.path)) >= 0 && send(fd, "READY=1", 7, 0) == 7);
	CHECK_LOOP(first.loop, first.n == 1);
}

static void failures(void)
{
	static const struct {
		const char *path;
		int code;
	} kinds[] = {
	        {"/no/such/directory/notify", -ENOENT},
	        {"/tmp/a-name-that-is-much-too-long-for-the-address-of-a-socket-of-the-unix-family-"
	         "which-has-room-for-107-bytes",
	         -ENAMETOOLONG},
	};
	_cleanup_loop_bed_ sd_event *loop = loop_bed_new();
	const size_t before = socket_bed_count_descriptors();

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct notify *notify = NULL;
		struct error err = {0};

		CHECK(notify_new(loop, kinds[i].path, 0, hear, NULL, &notify, &err) ==
		      kinds[i].code);
		CHECK(!notify && strstr(err.text, kinds[i].path));
	}
	CHECK(socket_bed_count_descriptors() == before);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(ready_lines),
	        CHECK_CASE(sender_is_known),
	        CHECK_CASE(barrier_waits_until_read),
	        CHECK_CASE(passed_descriptors_are_closed),
	        CHECK_CASE(long_message_is_ignored),
	        CHECK_CASE(socket_path),
	        CHECK_CASE(failures),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
