/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/out_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"

struct out_queue {
	struct out_queue *next;
	sd_event *loop;
	sd_event_source *source; /* while the queue waits */
	void (*drained)(void *data);
	void *data;
	int target, fd;
	struct stat to;
	mode_t kind; /* file type of the target */
	char *text;
	size_t begin, end, room;
};

static struct out_queue *queues;

/*
 * O_NONBLOCK belongs to the open file, which other processes (such as a shell) share, so it is not
 * ours to change. A pipe and a terminal can be opened again, for us alone. Otherwise we poll before
 * each write.
 */
static int out_queue_open_own(int target, mode_t kind)
{
	char path[32];
	int fd = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	if (kind == S_IFIFO || kind == S_IFCHR)
		fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? target : fd;
}

/* Whether a file ends within a line, because its writer was killed. */
static bool out_queue_ends_in_line(int target)
{
	_cleanup_close_ int fd = -1;
	char path[32], last;
	off_t end;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

int out_queue_new(sd_event *loop, int fd, void (*drained)(void *data), void *data,
                  struct out_queue **ret)
{
	struct out_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->loop = loop;
	queue->drained = drained;
	queue->data = data;
	queue->target = fd;
	if (fstat(fd, &queue->to) == 0)
		queue->kind = queue->to.st_mode & S_IFMT;
	queue->fd = out_queue_open_own(fd, queue->kind);
	if (queue->kind == S_IFREG && out_queue_ends_in_line(fd))
		out_queue_add(queue, NULL, "\n", 1);
	queue->next = queues;
	queues = queue;
	*ret = queue;
	return 0;
}

static void out_queue_append(struct out_queue *queue, const char *text, size_t n)
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
		out_queue_append(queue, prefix, n_prefix);
	out_queue_append(queue, line, n);
	if (n == 0 || line[n - 1] != '\n')
		out_queue_append(queue, "\n", 1);
	return true;
}

size_t out_queue_length(const struct out_queue *queue)
{
	return queue->begin == queue->end ? 0 : queue->end;
}

/* How many bytes to write at once: if possible whole lines that go into a pipe as one piece. */
static size_t out_queue_next_piece(const struct out_queue *queue)
{
	const char *text = queue->text + queue->begin, *end;
	size_t n = queue->end - queue->begin;

	if (queue->kind == S_IFREG || n <= PIPE_BUF)
		return n;
	end = memrchr(text, '\n', PIPE_BUF);
	return end ? (size_t)(end + 1 - text) : PIPE_BUF;
}

static ssize_t out_queue_write_some(const struct out_queue *queue)
{
	const char *text = queue->text + queue->begin;
	struct pollfd ready = {.fd = queue->fd, .events = POLLOUT};

	if (queue->kind == S_IFSOCK)
		return send(queue->fd, text, out_queue_next_piece(queue),
		            MSG_DONTWAIT | MSG_NOSIGNAL);
	if (queue->kind != S_IFREG && queue->fd == queue->target && poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(queue->fd, text, out_queue_next_piece(queue));
}

static int out_queue_on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct out_queue *queue = data;

	queue->drained(queue->data);
	return 0;
}

static bool out_queue_is_within_line(const struct out_queue *queue)
{
	return queue->begin && queue->begin < queue->end && queue->text[queue->begin - 1] != '\n';
}

/* Whether another queue to the same target has written a line in part. Both queues then wait until
 * the target accepts more, and the other queue goes first. */
static bool out_queue_is_held_up(const struct out_queue *queue)
{
	for (const struct out_queue *other = queues; other; other = other->next)
		if (other != queue && other->kind && other->to.st_dev == queue->to.st_dev &&
		    other->to.st_ino == queue->to.st_ino && out_queue_is_within_line(other))
			return true;
	return false;
}

bool out_queue_flush(struct out_queue *queue)
{
	while (queue->begin < queue->end) {
		const bool held_up = out_queue_is_held_up(queue);
		ssize_t n = held_up ? -1 : out_queue_write_some(queue);

		if (n < 0 && !held_up && errno == EINTR)
			continue;
		if (n < 0 && (held_up || errno == EAGAIN)) {
			if (!queue->source)
				memory_check(sd_event_add_io(queue->loop, &queue->source, queue->fd,
				                             EPOLLOUT, out_queue_on_ready, queue));
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
	const char *end = out_queue_is_within_line(queue) ? memchr(queue->text + queue->begin, '\n',
	                                                           queue->end - queue->begin)
	                                                  : NULL;

	queue->end = end ? (size_t)(end + 1 - queue->text) : queue->begin;
}

void out_queue_free(struct out_queue *queue)
{
	struct out_queue **at = &queues;

	if (!queue)
		return;
	while (*at != queue)
		at = &(*at)->next;
	*at = queue->next;
	sd_event_source_disable_unref(queue->source);
	if (queue->fd != queue->target)
		close(queue->fd);
	free(queue->text);
	free(queue);
}
