/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "stream/log_target.h"
#include "stream/log_worker.h"

/* How much is read at once; then the other workers have their turn. */
#define READ_MAX 65536
/* With this much waiting, a stream is read again after a pause, or as soon as half of that is
 * written. So a worker that prints faster than its target accepts is slowed down to 640 kB/s before
 * it loses lines, and never waits for long. */
#define PAUSE_LENGTH (2 * READ_MAX)
#define PAUSE_US     100000

/* --- the limit of memory */

static void log_source_choose_longer(struct log_source **longest, struct log_source *other)
{
	if (line_queue_length(&other->queue) > line_queue_length(&(*longest)->queue))
		*longest = other;
}

/* The longest queue loses lines: a worker that prints much can't displace the lines of others.
 * Returns whether a line was dropped. */
static bool log_source_drop_some(struct log_process *log)
{
	struct log_source *longest = &log->notes;
	size_t before, lines;

	for (struct log_worker *w = log->workers; w; w = w->next) {
		for (int i = 0; i < LOG_MESSAGE_PLACES; i++)
			log_source_choose_longer(&longest, &w->streams[i]);
	}
	before = line_queue_length(&longest->queue);
	/* Many lines at a time, as their rest is moved. */
	lines = line_queue_drop(&longest->queue, before / 8 + 1);
	log->kept -= before - line_queue_length(&longest->queue);
	if (lines)
		log_target_note_lost(longest->target, lines);
	return lines;
}

/* --- lines */

/* What its worker has printed: the lines of both streams are known from each. */
static void log_source_note_lines(struct log_source *source, const char *text, size_t n,
                                  bool is_new)
{
	if (!source->worker || source == &source->worker->streams[LOG_MESSAGE_BOTH])
		return;
	(is_new ? log_worker_add_lines : log_worker_add_tail)(source->worker, text, n);
}

static void log_source_append(struct log_source *source, const char *text, size_t n, bool is_new)
{
	struct line_queue *queue = &source->queue;
	const size_t before = line_queue_length(queue), whole = queue->whole - queue->begin;

	if (!line_queue_add(queue, text, n)) {
		log_target_note_lost(source->target, line_queue_count(text, n));
		return;
	}
	source->log->kept += line_queue_length(queue) - before;
	log_source_note_lines(source, queue->text + queue->begin + whole,
	                      queue->whole - queue->begin - whole, is_new);
	while (source->log->kept > LOG_KEEP_MAX && log_source_drop_some(source->log))
		;
	if (line_queue_has_line(queue))
		log_target_list(source);
}

void log_source_add(struct log_source *source, const char *text, size_t n)
{
	log_source_append(source, text, n, true);
}

void log_source_restore(struct log_source *source, const char *text, size_t n)
{
	log_source_append(source, text, n, false);
}

static int log_source_on_pause_over(sd_event_source *event, uint64_t now, void *data)
{
	struct log_source *source = data;

	source->pause = sd_event_source_disable_unref(source->pause);
	if (source->on_readable)
		sd_event_source_set_enabled(source->on_readable, SD_EVENT_ON);
	return 0;
}

static void log_source_pause(struct log_source *source)
{
	if (sd_event_add_time_relative(source->log->loop, &source->pause, CLOCK_MONOTONIC, PAUSE_US,
	                               1000, log_source_on_pause_over, source) >= 0)
		sd_event_source_set_enabled(source->on_readable, SD_EVENT_OFF);
}

void log_source_written(struct log_source *source, size_t n)
{
	const size_t before = line_queue_length(&source->queue);

	line_queue_written(&source->queue, source->prefix, n);
	source->log->kept -= before - line_queue_length(&source->queue);
	if (source->pause && line_queue_length(&source->queue) < PAUSE_LENGTH / 2)
		log_source_on_pause_over(source->pause, 0, source);
}

/* --- reading */

static void log_source_begin(struct log_source *source)
{
	struct log_message_watch *watch = source->log->watch;

	__atomic_store_n(&watch->number, source->worker->number, __ATOMIC_RELEASE);
	__atomic_add_fetch(&watch->turn, 1, __ATOMIC_RELEASE);
}

static void log_source_done(struct log_source *source)
{
	__atomic_add_fetch(&source->log->watch->turn, 1, __ATOMIC_RELEASE);
}

static ssize_t log_source_read(struct log_source *source, size_t max)
{
	static char text[READ_MAX];
	ssize_t n;

	log_source_begin(source);
	n = read(source->fd, text, max < sizeof(text) ? max : sizeof(text));
	log_source_done(source);
	if (n > 0)
		log_source_add(source, text, (size_t)n);
	return n;
}

/* Reads once. The end of the file means that no process has the FIFO open for writing any more. */
static void log_source_read_some(struct log_source *source)
{
	const ssize_t n = log_source_read(source, READ_MAX);

	if (n > 0 && line_queue_length(&source->queue) >= PAUSE_LENGTH)
		log_source_pause(source);
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		log_source_end(source);
}

static int log_source_on_readable(sd_event_source *event, int fd, uint32_t events, void *data)
{
	struct log_source *source = data;

	log_source_read_some(source);
	log_worker_check_end(source->worker);
	return 0;
}

int log_source_open(struct log_source *source, int fd)
{
	int r = sd_event_add_io(source->log->loop, &source->on_readable, fd, EPOLLIN,
	                        log_source_on_readable, source);

	if (r < 0)
		return r;
	source->fd = fd;
	/* If it had no writer when it was opened, its end is not reported by an event
	 * (pipe_poll()).
	 */
	log_source_read_some(source);
	return 0;
}

void log_source_read_all(struct log_source *source)
{
	int n, r;

	if (source->fd < 0)
		return;
	log_source_begin(source);
	r = ioctl(source->fd, FIONREAD, &n);
	log_source_done(source);
	if (r < 0)
		return;
	while (n > 0) {
		const ssize_t got = log_source_read(source, (size_t)n);

		if (got <= 0)
			return;
		n -= (int)got;
	}
}

void log_source_end(struct log_source *source)
{
	struct line_queue *queue = &source->queue;
	const size_t before = line_queue_length(queue), whole = queue->whole;

	source->on_readable = sd_event_source_disable_unref(source->on_readable);
	source->pause = sd_event_source_disable_unref(source->pause);
	cleanup_close(&source->fd);
	source->fd = -1;
	line_queue_end_line(queue);
	source->log->kept += line_queue_length(queue) - before;
	if (line_queue_length(queue) == before)
		return;
	log_source_note_lines(source, queue->text + whole, queue->whole - whole, true);
	log_target_list(source);
}

bool log_source_is_done(const struct log_source *source)
{
	return source->fd < 0 && !source->listed && !line_queue_length(&source->queue);
}

void log_source_free(struct log_source *source)
{
	struct log_source **at = source->target ? &source->target->first : NULL;
	struct log_source *last = NULL;

	while (source->listed && *at != source) {
		last = *at;
		at = &(*at)->next;
	}
	if (source->listed) {
		*at = source->next;
		if (source->target->last == source)
			source->target->last = last;
	}
	sd_event_source_disable_unref(source->on_readable);
	sd_event_source_disable_unref(source->pause);
	cleanup_close(&source->fd);
	if (line_queue_length(&source->queue))
		log_target_note_lost(source->target,
		                     line_queue_count(source->queue.text + source->queue.begin,
		                                      line_queue_length(&source->queue)));
	source->log->kept -= line_queue_length(&source->queue);
	line_queue_free(&source->queue);
	log_target_unref(source->target);
}
