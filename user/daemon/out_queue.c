/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/out_queue.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct out_queue {
	sd_event *loop;
	sd_event_source *source; /* while it waits */
	void (*drained)(void *data);
	void *data;
	mode_t kind; /* of our standard output */
	char *text;
	size_t begin, end, room;
};

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
	*ret = queue;
	return 0;
}

void out_queue_add(struct out_queue *queue, const char *text, size_t n)
{
	if (queue->begin == queue->end)
		queue->begin = queue->end = 0;
	if (queue->end + n > queue->room) {
		size_t room = 2 * (queue->end + n);
		char *more = realloc(queue->text, room);

		if (!more)
			return;
		queue->text = more;
		queue->room = room;
	}
	memcpy(queue->text + queue->end, text, n);
	queue->end += n;
}

/* A pipe or a terminal that is ready takes PIPE_BUF bytes without making us wait, whether it was
 * opened for that or not; a socket is told not to; a file never does. */
static ssize_t write_some(const struct out_queue *queue)
{
	const char *text = queue->text + queue->begin;
	size_t n = queue->end - queue->begin;
	struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};

	if (queue->kind == S_IFSOCK)
		return send(STDOUT_FILENO, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (queue->kind == S_IFREG)
		return write(STDOUT_FILENO, text, n);
	if (poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(STDOUT_FILENO, text, n < PIPE_BUF ? n : PIPE_BUF);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct out_queue *queue = data;

	(void)source;
	(void)fd;
	(void)events;
	if (out_queue_flush(queue))
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
				sd_event_add_io(queue->loop, &queue->source, STDOUT_FILENO,
				                EPOLLOUT, on_ready, queue);
			return false;
		}
		queue->begin = n < 0 ? queue->end : queue->begin + n;
	}
	queue->source = sd_event_source_disable_unref(queue->source);
	return true;
}

void out_queue_free(struct out_queue *queue)
{
	struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};

	if (!queue)
		return;
	while (!out_queue_flush(queue))
		poll(&ready, 1, -1);
	free(queue->text);
	free(queue);
}
