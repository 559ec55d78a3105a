/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/output_bed.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "check/folder.h"
#include "stream/log_process.h"

#define PATH_SIZE 128

struct output_bed *output_bed;

static int held[OUTPUT_BED_WRITERS][LOG_MESSAGE_FDS]; /* as a supervisor has the FIFOs open */
static int link_fd = -1;
static int log_fds[4]; /* of the next log process */

static void output_bed_path(char path[PATH_SIZE], int number, int stream)
{
	static const char *const names[] = LOG_MESSAGE_FIFOS;

	snprintf(path, PATH_SIZE, "%s/out/%d-1%s", folder_path(), number, names[stream]);
}

static void output_bed_close_held(void)
{
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		for (int stream = 0; stream < 2; stream++)
			if (held[i][stream] > 0)
				close(held[i][stream]);
	memset(held, 0, sizeof(held));
	output_bed_close_link();
}

void output_bed_begin(int n_workers)
{
	char path[PATH_SIZE];

	if (!output_bed)
		output_bed = children_map(sizeof(*output_bed));
	memset(output_bed, 0, sizeof(*output_bed));
	output_bed->n_workers = n_workers;
	output_bed_close_held();
	check_at_end(output_bed_close_held);
	snprintf(path, sizeof(path), "%s/out", folder_path());
	mkdir(path, 0700);
	for (int i = 0; i < n_workers; i++) {
		for (int stream = 0; stream < 2; stream++) {
			output_bed_path(path, i, stream);
			unlink(path);
			CHECK(mkfifo(path, 0600) == 0);
			held[i][stream] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		}
		held[i][LOG_MESSAGE_CHANNEL] = -1;
	}
}

int output_bed_open(int number, int stream)
{
	char path[PATH_SIZE];

	output_bed_path(path, number, stream);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool output_bed_exists(int number)
{
	char path[PATH_SIZE];
	struct stat st;

	output_bed_path(path, number, 0);
	return stat(path, &st) == 0;
}

/* --- writers */

size_t output_bed_line(char line[OUTPUT_BED_LINE_MAX], int writer, int n)
{
	const int fill = 1 + (n % 1000 * 7919 + writer * 131) % 200;
	int length = snprintf(line, OUTPUT_BED_LINE_MAX, "%d %d ", writer, n);

	memset(line + length, 'a' + n % 26, fill);
	length += fill;
	length += snprintf(line + length, 32, " %d\n", n);
	return length;
}

static int writer_fds[OUTPUT_BED_WRITERS];

void output_bed_writer(int number)
{
	const int fd = writer_fds[number];
	char line[OUTPUT_BED_LINE_MAX];

	/* Only this writer has its FIFO open. */
	for (int i = 0; i < OUTPUT_BED_WRITERS; i++)
		if (i != number && writer_fds[i] > 0)
			close(writer_fds[i]);
	for (int n = output_bed->first; n < output_bed->first + output_bed->n_lines; n++) {
		const size_t length = output_bed_line(line, number, n);
		const size_t half = n % 5 == 0 ? length / 2 : 0;

		if (half && write(fd, line, half) != (ssize_t)half)
			_exit(1);
		if (write(fd, line + half, length - half) != (ssize_t)(length - half))
			_exit(1);
	}
}

void output_bed_start_writers(int n_lines)
{
	output_bed->n_lines = n_lines;
	for (int i = 0; i < output_bed->n_workers; i++) {
		writer_fds[i] = output_bed_open(i, 0);
		children_start(output_bed_writer, i);
		close(writer_fds[i]);
		writer_fds[i] = -1;
	}
}

/* --- the log process */

static void output_bed_run_log(int unused)
{
	for (int i = 0; i < 4; i++)
		log_fds[i] = fcntl(log_fds[i], F_DUPFD, 64);
	for (int i = 0; i < 4; i++)
		dup2(log_fds[i], STDOUT_FILENO + i);
	syscall(SYS_close_range, LOG_MESSAGE_DIR_FD + 1, ~0u, 0);
	_exit(log_process_main("svc"));
}

static void output_bed_add_worker(int number)
{
	struct log_message message = {.kind = LOG_MESSAGE_ADD,
	                              .slot = (uint32_t)number,
	                              .number = 1,
	                              .places = {{STDOUT_FILENO}, {STDERR_FILENO}, {-1}}};

	snprintf(message.prefix, sizeof(message.prefix), "svc.%d | ", number);
	CHECK(log_message_send(link_fd, &message, held[number]) == 0);
}

pid_t output_bed_start_log(int out, int errors)
{
	int pair[2];
	pid_t pid;

	output_bed_close_link();
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	log_fds[0] = out;
	log_fds[1] = errors;
	log_fds[2] = pair[1];
	log_fds[3] = open(folder_path(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	pid = children_start(output_bed_run_log, 0);
	close(log_fds[3]);
	close(pair[1]);
	link_fd = pair[0];
	for (int i = 0; i < output_bed->n_workers; i++)
		output_bed_add_worker(i);
	return pid;
}

int output_bed_link(void)
{
	return link_fd;
}

void output_bed_close_link(void)
{
	cleanup_close(&link_fd);
	link_fd = -1;
}

void output_bed_note_gone(int number)
{
	const struct log_message message = {
	        .kind = LOG_MESSAGE_GONE, .slot = (uint32_t)number, .number = 1};

	CHECK(log_message_send(link_fd, &message, NULL) == 0);
}

bool output_bed_tail_is(int number, const char *expected)
{
	const struct log_message message = {
	        .kind = LOG_MESSAGE_TAIL, .slot = (uint32_t)number, .number = 1};
	struct pollfd ready = {.fd = link_fd, .events = POLLIN};
	struct log_message_tail tail;

	CHECK(log_message_send(link_fd, &message, NULL) == 0);
	CHECK(poll(&ready, 1, 1000 * DEADLINE_S) == 1);
	CHECK(recv(link_fd, &tail, sizeof(tail), 0) == sizeof(tail));
	return !strcmp(tail.text, expected);
}
