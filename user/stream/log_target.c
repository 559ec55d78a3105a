/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_target.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/log_file.h"
#include "stream/log_note.h"
#include "stream/log_source.h"
#include "stream/log_state_row.h"
#include "stream/log_worker.h"

#define RETRY_US 1000000
#define TURN_MAX (256 * 1024) /* bytes that are written before other events are handled */

/* --- opening */

static const char *log_target_name(const struct log_target *target)
{
	return target->stream == STDOUT_FILENO   ? "standard output"
	       : target->stream == STDERR_FILENO ? "standard error"
	                                         : target->path;
}

/* What follows is a line of its own, unless the log process before us has left the rest of this
 * one.
 */
static void log_target_end_cut_line(struct log_target *target)
{
	if (log_state_row_has_begun(target->log->state, target->out.dev, target->out.ino))
		return;
	if (out_stream_ends_in_line(&target->out) && out_stream_write(&target->out, "\n", 1) < 0)
		target->failure = errno;
}

static int log_target_open_file(struct log_target *target, struct error *err)
{
	const int fd = log_file_open(target->path, &target->id, err);

	if (fd < 0)
		return fd;
	if (target->fd >= 0) {
		target->on_ready = sd_event_source_disable_unref(target->on_ready);
		out_stream_close(&target->out, target->fd);
		close(target->fd);
		/* A line that was written in part begins again in the new file. */
		if (target->first)
			target->first->queue.started = 0;
	}
	target->fd = fd;
	out_stream_open(&target->out, fd);
	return 0;
}

static void log_target_open(struct log_target *target)
{
	struct error err = {};

	if (target->stream) {
		target->fd = target->stream;
		out_stream_open(&target->out, target->fd);
	} else {
		const int r = log_target_open_file(target, &err);

		if (r < 0) {
			target->failure = -r;
			log_note(target->log, "%s", err.text);
			return;
		}
	}
	log_target_end_cut_line(target);
}

int log_target_reopen(struct log_target *target, struct error *err)
{
	return target->stream ? 0 : log_target_open_file(target, err);
}

/* Whether the path leads to another file now, or to none: the file was renamed, or a link on the
 * path leads to another release. */
static bool log_target_has_moved(const struct log_target *target)
{
	struct stat is;

	if (target->stream || target->fd < 0)
		return false;
	return stat(target->path, &is) < 0 || is.st_dev != target->out.dev ||
	       is.st_ino != target->out.ino;
}

/* --- making */

/* Standard output and standard error are one target if they are one file, so that no line is
 * written within another. */
static int log_target_find_stream(int stream)
{
	struct stat out, errors;

	return stream == STDERR_FILENO && fstat(STDOUT_FILENO, &out) == 0 &&
	                       fstat(STDERR_FILENO, &errors) == 0 && out.st_dev == errors.st_dev &&
	                       out.st_ino == errors.st_ino
	               ? STDOUT_FILENO
	               : stream;
}

static bool log_target_is_at(const struct log_target *target, int stream, const char *path,
                             const struct log_message *message)
{
	if (stream || target->stream)
		return target->stream == stream;
	return !strcmp(target->path, path) && target->id.set_user == message->set_user &&
	       target->id.limited == message->limited && target->id.uid == message->uid &&
	       target->id.gid == message->gid;
}

static bool log_target_copy_place(struct log_target *target, const char *path,
                                  const struct log_message *message)
{
	if (target->stream)
		return true;
	target->path = strdup(path);
	target->id = (struct credentials){.set_user = message->set_user,
	                                  .limited = message->limited,
	                                  .uid = message->uid,
	                                  .gid = message->gid,
	                                  .n_groups = (int)message->n_groups};
	target->id.groups = calloc(message->n_groups + 1, sizeof(gid_t));
	if (!target->path || !target->id.groups)
		return false;
	memcpy(target->id.groups, message->groups, message->n_groups * sizeof(gid_t));
	return true;
}

static void log_target_free(struct log_target *target)
{
	sd_event_source_disable_unref(target->on_ready);
	if (target->fd >= 0)
		out_stream_close(&target->out, target->fd);
	if (!target->stream)
		cleanup_close(&target->fd);
	sd_event_source_disable_unref(target->timer);
	sd_event_source_disable_unref(target->again);
	credentials_deinit(&target->id);
	free(target->path);
	free(target);
}

struct log_target *log_target_get(struct log_process *log, const struct log_message_place *place,
                                  const struct log_message *message)
{
	const int stream = log_target_find_stream(place->stream);
	struct log_target *target = log->targets;
	struct error ignored;

	while (target && !log_target_is_at(target, stream, place->path, message))
		target = target->next;
	if (target) {
		target->refs++;
		if (log_target_has_moved(target))
			log_target_open_file(target, &ignored);
		return target;
	}
	target = calloc(1, sizeof(*target));
	if (!target)
		return NULL;
	*target = (struct log_target){.log = log, .refs = 1, .stream = stream, .fd = -1};
	if (!log_target_copy_place(target, place->path, message)) {
		log_target_free(target);
		return NULL;
	}
	target->next = log->targets;
	log->targets = target;
	log_target_open(target);
	return target;
}

void log_target_unref(struct log_target *target)
{
	struct log_target **at;

	if (!target || --target->refs)
		return;
	at = &target->log->targets;
	while (*at != target)
		at = &(*at)->next;
	*at = target->next;
	log_target_free(target);
}

/* --- losses */

static void log_target_note_failure(struct log_target *target)
{
	if (target->failure || target->losing)
		return;
	target->failure = errno;
	log_note(target->log,
	         "can't write to %s: %s; lines are kept until it can be written again, and "
	         "the oldest are dropped beyond " LOG_KEEP_TEXT,
	         log_target_name(target), strerror(errno));
}

void log_target_note_lost(struct log_target *target, size_t n_lines)
{
	target->lost += n_lines;
	if (target->losing)
		return;
	target->losing = true;
	if (target->failure)
		return;
	log_note(target->log, "%s accepts lines too slowly: the oldest lines are dropped",
	         log_target_name(target));
}

/* All lines have been written. */
static void log_target_note_recovery(struct log_target *target)
{
	if (!target->failure && !target->losing)
		return;
	log_note(target->log, "%s is written again; %lu line%s dropped", log_target_name(target),
	         target->lost, target->lost == 1 ? " was" : "s were");
	target->failure = 0;
	target->losing = false;
	target->lost = 0;
}

void log_target_report_lost(struct log_target *target)
{
	if (target->lost)
		log_note(target->log, "%s: %lu line%s dropped", log_target_name(target),
		         target->lost, target->lost == 1 ? " was" : "s were");
	target->lost = 0;
}

/* --- writing */

static int log_target_on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct log_target *target = data;

	target->on_ready = sd_event_source_disable_unref(target->on_ready);
	log_target_flush(target);
	return 0;
}

static int log_target_on_retry(sd_event_source *source, uint64_t now, void *data)
{
	struct log_target *target = data;

	target->timer = sd_event_source_disable_unref(target->timer);
	log_target_flush(target);
	return 0;
}

static int log_target_on_again(sd_event_source *source, void *data)
{
	log_target_flush(data);
	return 0;
}

/* The next try, after a write that has failed with this errno. */
static void log_target_wait(struct log_target *target)
{
	if (errno == EAGAIN && sd_event_add_io(target->log->loop, &target->on_ready, target->out.fd,
	                                       EPOLLOUT, log_target_on_ready, target) >= 0)
		return;
	log_target_note_failure(target);
	sd_event_add_time_relative(target->log->loop, &target->timer, CLOCK_MONOTONIC, RETRY_US, 1,
	                           log_target_on_retry, target);
}

/* In the next turn of the event loop, before more lines are read: so a target that accepts lines
 * fast enough loses none. */
static void log_target_go_on(struct log_target *target)
{
	if (target->again)
		sd_event_source_set_enabled(target->again, SD_EVENT_ONESHOT);
	else if (sd_event_add_defer(target->log->loop, &target->again, log_target_on_again,
	                            target) >= 0)
		sd_event_source_set_priority(target->again, LOG_PRIORITY_WRITE);
}

void log_target_list(struct log_source *source)
{
	struct log_target *target = source->target;

	if (source->listed)
		return;
	source->listed = true;
	source->next = NULL;
	if (target->first)
		target->last->next = source;
	else
		target->first = source;
	target->last = source;
	log_target_go_on(target);
}

/* The first source has had its turn: it goes to the end of the list, unless it has no line. */
static void log_target_rotate(struct log_target *target)
{
	struct log_source *source = target->first;

	if (source->queue.started)
		return; /* its line goes on */
	target->first = source->next;
	source->listed = false;
	if (line_queue_has_line(&source->queue))
		log_target_list(source);
	else if (source->worker)
		log_worker_check_end(source->worker);
}

/* Writes lines of the first source. Returns the number of bytes, or -1 with errno set. */
static ssize_t log_target_write_some(struct log_target *target)
{
	static char text[LINE_QUEUE_LINE_MAX + 128];
	const size_t max = target->out.kind == S_IFREG ? sizeof(text) : PIPE_BUF;
	struct log_source *source = target->first;
	size_t n = line_queue_copy(&source->queue, source->prefix, max, text);
	ssize_t written = n ? out_stream_write(&target->out, text, n) : 0;

	if (written > 0)
		log_source_written(source, (size_t)written);
	return written;
}

static bool log_target_is_open(struct log_target *target)
{
	struct error ignored;
	const int r = target->fd < 0 ? log_target_open_file(target, &ignored) : 0;

	if (r < 0)
		errno = -r;
	return r >= 0;
}

void log_target_flush(struct log_target *target)
{
	ssize_t n = 0, sum = 0;

	if (target->on_ready || target->timer)
		return;
	if (!log_target_is_open(target)) {
		log_target_wait(target);
		return;
	}
	target->refs++; /* until the end of this function */
	for (; target->first && sum < TURN_MAX; sum += n) {
		n = log_target_write_some(target);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			break;
		log_target_rotate(target);
	}
	target->log->progressed |= sum > 0;
	if (n < 0)
		log_target_wait(target);
	else if (target->first)
		log_target_go_on(target);
	else
		log_target_note_recovery(target);
	log_target_unref(target);
}

bool log_target_may_go_on(const struct log_target *target)
{
	return target->first && target->failure != EPIPE;
}
