/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/out_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

struct out_queue {
	sd_event *loop;
	sd_event_source *source; /* while it waits */
	void (*drained)(void *data);
	void *data;
	int fd;
	mode_t kind; /* of our standard output */
	char *text;
	size_t begin, end, room;
};

/*
 * Whether a descriptor waits belongs to the open file, which others have too (a shell, say), so it
 * isn't ours to change. A pipe and a terminal can be opened anew, for us alone. If not, then it is
 * asked before each write whether it is ready.
 */
static int open_own(mode_t kind)
{
	int fd = -1;

	if (kind == S_IFIFO || kind == S_IFCHR)
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? STDOUT_FILENO : fd;
}

/* Whether a file ends within a line: who wrote to it was killed then. */
static bool ends_in_line(void)
{
	_cleanup_close_ int fd = open("/proc/self/fd/1", O_RDONLY | O_CLOEXEC);
	const off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char last;

	return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

int out_queue_new(sd_event *loop, void (*drained)(void *data), void *data, struct out_queue **ret)
{
	struct out_queue *queue = calloc(1, sizeof(*queue));
	struct stat st;

	if (!queue)
		return -ENOMEM;
	queue->loop = loop;
	queue->drained = drained;
	queue->data = data;
	queue->kind = fstat(STDOUT_FILENO, &st) < 0 ? 0 : st.st_mode & S_IFMT;
	queue->fd = open_own(queue->kind);
	if (queue->kind == S_IFREG && ends_in_line())
		out_queue_add(queue, NULL, "\n", 1);
	*ret = queue;
	return 0;
}

static void append(struct out_queue *queue, const char *text, size_t n)
{
	memcpy(queue->text + queue->end, text, n);
	queue->end += n;
}

bool out_queue_add(struct out_queue *queue, const char *prefix, const char *line, size_t n)
{
	const size_t n_prefix = prefix ? strlen(prefix) : 0;

	if (queue->begin == queue->end)
		queue->begin = queue->end = 0;
	if (queue->end + n_prefix + n + 1 > queue->room) {
		size_t room = 2 * (queue->end + n_prefix + n + 1);
		char *more = realloc(queue->text, room);

		if (!more)
			return false;
		queue->text = more;
		queue->room = room;
	}
	if (prefix)
		append(queue, prefix, n_prefix);
	append(queue, line, n);
	if (n == 0 || line[n - 1] != '\n')
		append(queue, "\n", 1);
	return true;
}

size_t out_queue_length(const struct out_queue *queue)
{
	return queue->begin == queue->end ? 0 : queue->end;
}

/* How much to write at once: whole lines that go into a pipe as one piece, if there are such. */
static size_t next_piece(const struct out_queue *queue)
{
	const char *text = queue->text + queue->begin, *end;
	size_t n = queue->end - queue->begin;

	if (queue->kind == S_IFREG || n <= PIPE_BUF)
		return n;
	end = memrchr(text, '\n', PIPE_BUF);
	return end ? (size_t)(end + 1 - text) : PIPE_BUF;
}

static ssize_t write_some(const struct out_queue *queue)
{
	const char *text = queue->text + queue->begin;
	struct pollfd ready = {.fd = queue->fd, .events = POLLOUT};

	if (queue->kind == S_IFSOCK)
		return send(queue->fd, text, next_piece(queue), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (queue->kind != S_IFREG && queue->fd == STDOUT_FILENO && poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(queue->fd, text, next_piece(queue));
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct out_queue *queue = data;

	(void)source;
	(void)fd;
	(void)events;
	queue->drained(queue->data);
	return 0;
}

bool out_queue_flush(struct out_queue *queue)
{
	while (queue->begin < queue->end) {
		ssize_t n = write_some(queue);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!queue->source)
				sd_event_add_io(queue->loop, &queue->source, queue->fd, EPOLLOUT,
				                on_ready, queue);
			return false;
		}
		queue->begin = n < 0 ? queue->end : queue->begin + n;
	}
	queue->source = sd_event_source_disable_unref(queue->source);
	return true;
}

size_t out_queue_written(const struct out_queue *queue, size_t *ret_lines, bool *ret_cut)
{
	const char *last = queue->begin ? memrchr(queue->text, '\n', queue->begin) : NULL;
	const size_t n = last ? (size_t)(last + 1 - queue->text) : 0;

	*ret_lines = 0;
	for (const char *at = queue->text; at && at < queue->text + n; (*ret_lines)++)
		at = (const char *)memchr(at, '\n', queue->text + n - at) + 1;
	*ret_cut = queue->begin > n;
	return n;
}

void out_queue_drop(struct out_queue *queue)
{
	const bool is_begun = queue->begin && queue->text[queue->begin - 1] != '\n';
	const char *end =
	        is_begun && queue->begin < queue->end
	                ? memchr(queue->text + queue->begin, '\n', queue->end - queue->begin)
	                : NULL;

	queue->end = end ? (size_t)(end + 1 - queue->text) : queue->begin;
}

void out_queue_free(struct out_queue *queue)
{
	if (!queue)
		return;
	sd_event_source_disable_unref(queue->source);
	if (queue->fd != STDOUT_FILENO)
		close(queue->fd);
	free(queue->text);
	free(queue);
}
