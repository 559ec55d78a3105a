/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/out_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/memory.h"
#include "stream/out_stream.h"

struct out_queue {
	sd_event *loop;
	sd_event_source *source; /* while the queue waits */
	void (*drained)(void *data);
	void *data;
	int fd; /* as the caller passed it */
	struct out_stream stream;
	char *text;
	size_t begin, end, room;
};

int out_queue_new(sd_event *loop, int fd, void (*drained)(void *data), void *data,
                  struct out_queue **ret)
{
	struct out_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->loop = loop;
	queue->drained = drained;
	queue->data = data;
	queue->fd = fd;
	out_stream_open(&queue->stream, fd);
	if (out_stream_ends_in_line(&queue->stream))
		out_queue_add(queue, "\n", 1);
	*ret = queue;
	return 0;
}

bool out_queue_add(struct out_queue *queue, const char *line, size_t n)
{
	if (queue->begin == queue->end)
		queue->begin = queue->end = 0;
	if (queue->end + n + 1 > queue->room) {
		size_t room = 2 * (queue->end + n + 1);
		char *more = realloc(queue->text, room);

		if (!more)
			return false;
		queue->text = more;
		queue->room = room;
	}
	memcpy(queue->text + queue->end, line, n);
	queue->end += n;
	if (n == 0 || line[n - 1] != '\n')
		queue->text[queue->end++] = '\n';
	return true;
}

size_t out_queue_length(const struct out_queue *queue)
{
	return queue->begin == queue->end ? 0 : queue->end;
}

static int out_queue_on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct out_queue *queue = data;

	queue->drained(queue->data);
	return 0;
}

bool out_queue_flush(struct out_queue *queue)
{
	while (queue->begin < queue->end) {
		ssize_t n = out_stream_write(&queue->stream, queue->text + queue->begin,
		                             queue->end - queue->begin);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!queue->source)
				memory_check(sd_event_add_io(queue->loop, &queue->source,
				                             queue->stream.fd, EPOLLOUT,
				                             out_queue_on_ready, queue));
			return false;
		}
		queue->begin = n < 0 ? queue->end : queue->begin + (size_t)n;
	}
	queue->source = sd_event_source_disable_unref(queue->source);
	return true;
}

void out_queue_free(struct out_queue *queue)
{
	if (!queue)
		return;
	sd_event_source_disable_unref(queue->source);
	out_stream_close(&queue->stream, queue->fd);
	free(queue->text);
	free(queue);
}
