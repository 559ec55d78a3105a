/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/peer_message.h"
#include "stream/log_note.h"
#include "stream/log_source.h"
#include "stream/log_target.h"

/* --- adding */

static void log_worker_close_channel(struct log_worker *w)
{
	w->on_channel_end = sd_event_source_disable_unref(w->on_channel_end);
	/* The supervisor may not have read the rest yet, and closes it later. */
	if (w->gone || !w->log->link)
		peer_message_close(TAKE_FD(w->channel));
	else
		cleanup_close(&w->channel);
	w->channel = -1;
}

static void log_worker_free(struct log_worker *w)
{
	struct log_worker **at = &w->log->workers;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	for (int i = 0; i < LOG_MESSAGE_PLACES; i++)
		log_source_free(&w->streams[i]);
	log_worker_close_channel(w);
	free(w);
}

struct log_worker *log_worker_new(struct log_process *log, const struct log_message *message)
{
	struct log_worker *w = calloc(1, sizeof(*w));
	bool failed = false;

	if (!w)
		return NULL;
	*w = (struct log_worker){.next = log->workers,
	                         .log = log,
	                         .slot = message->slot,
	                         .number = message->number,
	                         .channel = -1};
	memcpy(w->prefix, message->prefix, sizeof(w->prefix));
	log->workers = w;
	for (int i = 0; i < LOG_MESSAGE_PLACES; i++) {
		w->streams[i] =
		        (struct log_source){.log = log, .worker = w, .fd = -1, .prefix = w->prefix};
		if (message->places[i].stream < 0)
			continue;
		w->streams[i].target = log_target_get(log, &message->places[i], message);
		failed |= !w->streams[i].target;
	}
	if (!failed)
		return w;
	log_worker_free(w);
	return NULL;
}

static int log_worker_on_channel_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	log_worker_close_channel(data);
	log_worker_check_end(data);
	return 0;
}

/* Without EPOLLIN there is one event only: the worker has closed its end. */
static int log_worker_keep_channel(struct log_worker *w, int fd)
{
	w->channel = fd;
	return fd < 0 ? 0
	              : sd_event_add_io(w->log->loop, &w->on_channel_end, fd, 0,
	                                log_worker_on_channel_end, w);
}

void log_worker_open(struct log_worker *w, const int fds[LOG_MESSAGE_FDS])
{
	int r = log_worker_keep_channel(w, fds[LOG_MESSAGE_CHANNEL]);
	int taken = 0; /* streams, which may have ended at once */

	while (r >= 0 && taken < 2) {
		r = log_source_open(&w->streams[taken], fds[taken]);
		if (r >= 0)
			taken++;
	}
	if (r >= 0) {
		log_worker_check_end(w);
		return;
	}
	log_note(w->log, "slot %u: can't read what its worker prints: %s", w->slot, strerror(-r));
	for (int i = taken; i < 2; i++)
		close(fds[i]);
	log_worker_free(w);
}

struct log_worker *log_worker_find(struct log_process *log, uint32_t slot, uint32_t number)
{
	struct log_worker *w = log->workers;

	while (w && (w->slot != slot || w->number != number))
		w = w->next;
	return w;
}

/* --- its last lines */

/* Keeps the end of the text. */
static void log_worker_append(char *tail, size_t *n_tail, size_t max, const char *text, size_t n)
{
	size_t keep;

	if (n > max) {
		text += n - max;
		n = max;
	}
	keep = *n_tail + n > max ? max - n : *n_tail;
	memmove(tail, tail + *n_tail - keep, keep);
	memcpy(tail + keep, text, n);
	*n_tail = keep + n;
}

void log_worker_add_tail(struct log_worker *w, const char *text, size_t n)
{
	if (n)
		log_worker_append(w->tail, &w->n_tail, sizeof(w->tail), text, n);
}

void log_worker_add_lines(struct log_worker *w, const char *text, size_t n)
{
	log_worker_add_tail(w, text, n);
	if (n && w->streams[LOG_MESSAGE_BOTH].target)
		log_source_add(&w->streams[LOG_MESSAGE_BOTH], text, n);
}

void log_worker_tail(struct log_worker *w, char ret[LOG_MESSAGE_TAIL_MAX])
{
	const size_t max = LOG_MESSAGE_TAIL_MAX - 1;
	char text[LOG_MESSAGE_TAIL_MAX];
	size_t n = 0, begin = 0;

	for (int i = 0; i < 2; i++)
		log_source_read_all(&w->streams[i]);
	log_worker_append(text, &n, max, w->tail, w->n_tail);
	for (int i = 0; i < 2; i++) {
		const struct line_queue *queue = &w->streams[i].queue;

		if (queue->end == queue->whole)
			continue;
		log_worker_append(text, &n, max, queue->text + queue->whole,
		                  queue->end - queue->whole);
		log_worker_append(text, &n, max, "\n", 1);
	}
	/* The first of these bytes may be in the middle of a line, which is left out then. */
	if (n == max) {
		const char *end = memchr(text, '\n', n - 1);

		begin = end ? (size_t)(end + 1 - text) : 0;
	}
	for (size_t i = begin; i < n; i++)
		ret[i - begin] = text[i] ? text[i] : ' ';
	ret[n - begin] = '\0';
}

/* --- its end */

static void log_worker_remove_fifos(const struct log_worker *w)
{
	static const char *const names[] = LOG_MESSAGE_FIFOS;

	for (int i = 0; i < 2; i++) {
		char path[64];

		snprintf(path, sizeof(path), "out/%u-%u%s", w->slot, w->number, names[i]);
		unlinkat(w->log->dir_fd, path, 0);
	}
}

void log_worker_drop(struct log_worker *w)
{
	log_worker_remove_fifos(w);
	log_worker_free(w);
}

void log_worker_check_end(struct log_worker *w)
{
	/* A supervisor may still ask for the last lines. */
	if ((!w->gone && w->log->link) || w->channel >= 0)
		return;
	for (int i = 0; i < LOG_MESSAGE_PLACES; i++)
		if (!log_source_is_done(&w->streams[i]))
			return;
	log_worker_drop(w);
}

void log_worker_end(struct log_worker *w)
{
	w->gone = true;
	log_worker_close_channel(w);
	for (int i = 0; i < 2; i++) {
		log_source_read_all(&w->streams[i]);
		if (w->streams[i].fd >= 0)
			log_source_end(&w->streams[i]);
	}
	log_worker_check_end(w);
}
