/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "stream/out_queue.h"
#include "stream/output_progress.h"

#define QUEUE_MAX     (2 * OUTPUT_LINE_MAX) /* about the bytes in the queue, with prefixes */
#define FLUSH_BATCHES 16 /* of OUTPUT_LINE_MAX bytes, that output_finish() writes at once */

struct output {
	struct output *next;
	char *path, *prefix;
	int watch, cgroup;
	struct output_progress progress; /* with the descriptors of the file */
	off_t ahead;                     /* read up to here */
	bool dirty;                      /* there may be more to read */
	bool ended;                      /* its worker has ended: the rest is a line, too */
	bool orphan; /* output_free() was called; the rest is still being written */
	bool frozen;
	char tail[OUTPUT_TAIL_MAX]; /* the last bytes that were read */
	size_t n_tail;
	char shown[OUTPUT_TAIL_MAX];
};

/*
 * All outputs of the process. They share the inotify descriptor, and the queue to our standard
 * output, which has lines of one output at a time. As there is one standard output there is one
 * such structure, from the first output_new() until the last output is freed.
 */
static struct followed {
	int inotify_fd;
	sd_event_source *on_change;
	sd_event_source *again; /* armed while there is more to do at once */
	struct out_queue *queue;
	struct output *list;
	struct output *turn;  /* the output that has the next turn; NULL = the first */
	struct output *taken; /* the output of the lines in the queue */
	off_t from;           /* their offset in its file */
	char text[OUTPUT_LINE_MAX + 1];
} * followed;

/* --- freezing a worker that writes too fast */

static void output_freeze(struct output *o, bool on)
{
	_cleanup_close_ int fd = -1;

	if (o->cgroup < 0 || o->frozen == on)
		return;
	fd = openat(o->cgroup, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, on ? "1" : "0", 1) == 1)
		o->frozen = on;
}

/* A supervisor that was killed may have left the worker frozen. */
static bool output_is_frozen(int cgroup)
{
	_cleanup_close_ int fd =
	        cgroup < 0 ? -1 : openat(cgroup, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
	char text;

	return fd >= 0 && read(fd, &text, 1) == 1 && text == '1';
}

static off_t output_size_of(const struct output *o)
{
	struct stat st;

	return fstat(o->progress.read_fd, &st) < 0 ? o->ahead : st.st_size;
}

static void output_throttle(struct output *o)
{
	const off_t behind = output_size_of(o) - o->progress.at;

	if (behind > OUTPUT_BEHIND_MAX)
		output_freeze(o, true);
	else if (behind < OUTPUT_BEHIND_MAX / 2)
		output_freeze(o, false);
}

/* --- lines */

static void output_append_tail(struct output *o, const char *text, size_t n)
{
	size_t keep;

	if (n > sizeof(o->tail)) {
		text += n - sizeof(o->tail);
		n = sizeof(o->tail);
	}
	keep = o->n_tail + n > sizeof(o->tail) ? sizeof(o->tail) - n : o->n_tail;
	memmove(o->tail, o->tail + o->n_tail - keep, keep);
	memcpy(o->tail + keep, text, n);
	o->n_tail = keep + n;
}

/* The length of the first line with its end, or of the piece of it to write; 0 if its end is still
 * to come. @last: nothing follows this text. */
static size_t output_measure_line(const char *text, size_t n, bool last)
{
	const char *end = memchr(text, '\n', n);

	if (end)
		return end + 1 - text;
	if (n > OUTPUT_LINE_MAX)
		return OUTPUT_LINE_MAX;
	return last ? n : 0;
}

/* A program may open its /dev/stdout again and truncate it: then everything in it is new. */
static bool output_is_truncated(struct output *o)
{
	if (output_size_of(o) >= o->ahead)
		return false;
	o->ahead = o->progress.punched = 0;
	output_progress_store(&o->progress, 0, false);
	return true;
}

/* Reads the next lines of @o into the queue, which must be empty. */
static void output_read_batch(struct followed *f, struct output *o)
{
	const ssize_t n_read = pread(o->progress.read_fd, f->text, sizeof(f->text), o->ahead);
	const size_t n = n_read < 0 ? 0 : n_read;
	const bool all = o->ended && n < sizeof(f->text);
	size_t taken = 0, length = 0;

	while (taken < n && out_queue_length(f->queue) < QUEUE_MAX) {
		length = output_measure_line(f->text + taken, n - taken, all);
		if (!length || !out_queue_add(f->queue, o->prefix, f->text + taken, length))
			break;
		taken += length;
	}
	if (taken) {
		f->taken = o;
		f->from = o->ahead;
		o->ahead += taken;
		output_append_tail(o, f->text, taken);
	}
	/* inotify reports the rest of an unfinished line. */
	o->dirty = n ? n == sizeof(f->text) || (taken < n && length) : output_is_truncated(o);
}

/* Writes the queue as far as possible, and stores the progress. Returns whether the queue is empty.
 */
static bool output_write_queue(struct followed *f)
{
	const bool done = out_queue_flush(f->queue);
	struct output *o = f->taken;
	size_t length, lines;
	bool cut;
	off_t at;

	if (o && done) {
		f->taken = NULL;
		output_progress_store(&o->progress, o->ahead, false);
	} else if (o) {
		length = out_queue_written(f->queue, &lines, &cut);
		at = f->from + (off_t)(length - lines * (o->prefix ? strlen(o->prefix) : 0));
		if (at != o->progress.at || cut != o->progress.cut)
			output_progress_store(&o->progress, at, cut);
	}
	return done;
}

/* --- all outputs in turn */

static void output_free_followed(struct followed *f)
{
	sd_event_source_disable_unref(f->on_change);
	sd_event_source_disable_unref(f->again);
	cleanup_close(&f->inotify_fd);
	out_queue_free(f->queue);
	free(f);
	followed = NULL;
}

/* Frees an output, even half made; with the last one also what they share. */
static void output_destroy(struct followed *f, struct output *o, bool remove)
{
	struct output **at = &f->list;

	output_freeze(o, false);
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	if (f->turn == o)
		f->turn = o->next;
	if (f->taken == o) { /* the rest is stored as not written */
		out_queue_drop(f->queue);
		f->taken = NULL;
	}
	if (o->watch >= 0)
		inotify_rm_watch(f->inotify_fd, o->watch);
	cleanup_close(&o->progress.read_fd);
	cleanup_close(&o->progress.write_fd);
	if (remove && o->path)
		unlink(o->path);
	free(o->path);
	free(o->prefix);
	free(o);
	if (!f->list)
		output_free_followed(f);
}

static bool output_has_more(const struct followed *f, const struct output *o)
{
	return o->dirty || f->taken == o;
}

/* Writes a batch of each output, as long as our standard output accepts it. Called once a turn of
 * the event loop. */
static void output_pump(void *data)
{
	struct followed *f = data;
	struct output *o, *next;
	size_t n = 0;
	bool more = false;

	for (o = f->list; o; o = o->next)
		n++;
	for (; n > 0 && output_write_queue(f); n--) {
		o = f->turn ? f->turn : f->list;
		f->turn = o->next;
		if (o->dirty)
			output_read_batch(f, o);
	}
	if (output_write_queue(f))
		for (o = f->list; o; o = o->next)
			more |= o->dirty;
	sd_event_source_set_enabled(f->again, more ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	for (o = f->list; o && followed; o = next) {
		next = o->next;
		if (o->dirty || o->frozen)
			output_throttle(o);
		if (o->orphan && !output_has_more(f, o))
			output_destroy(f, o, true);
	}
}

static int output_on_again(sd_event_source *source, void *data)
{
	output_pump(data);
	return 0;
}

static void output_set_dirty(struct followed *f, const struct inotify_event *event)
{
	for (struct output *o = f->list; o; o = o->next)
		if (o->watch == event->wd || event->mask & IN_Q_OVERFLOW)
			o->dirty = true;
}

static int output_on_change(sd_event_source *source, int fd, uint32_t events, void *data)
{
	char text[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const ssize_t n = read(fd, text, sizeof(text));
	const struct inotify_event *event;

	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const void *)(text + at);
		output_set_dirty(data, event);
	}
	output_pump(data);
	return 0;
}

static int output_make_followed(sd_event *loop, struct error *err)
{
	struct followed *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return error_set(err, -ENOMEM, "out of memory");
	f->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	r = f->inotify_fd < 0 ? -errno
	                      : out_queue_new(loop, STDOUT_FILENO, output_pump, f, &f->queue);
	if (r >= 0)
		r = sd_event_add_io(loop, &f->on_change, f->inotify_fd, EPOLLIN, output_on_change,
		                    f);
	if (r >= 0)
		r = sd_event_add_defer(loop, &f->again, output_on_again, f);
	if (r < 0) {
		output_free_followed(f);
		return error_set(err, r, "can't follow the workers' output: %s", strerror(-r));
	}
	followed = f;
	return 0;
}

/* --- one output */

/* The watch is added before the first read, so that no change is missed. */
static int output_open_file(struct followed *f, struct output *o, struct error *err)
{
	o->progress.write_fd = open(o->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	o->progress.read_fd = open(o->path, O_RDONLY | O_CLOEXEC);
	o->watch =
	        o->progress.read_fd < 0 ? -1 : inotify_add_watch(f->inotify_fd, o->path, IN_MODIFY);
	if (o->watch < 0 || o->progress.write_fd < 0)
		return error_set(err, -errno, "can't follow %s: %s", o->path, strerror(errno));
	output_progress_find(&o->progress, output_size_of(o));
	o->ahead = o->progress.at;
	if (o->progress.cut && !f->taken) /* ends the line that was written in part */
		out_queue_add(f->queue, NULL, "\n", 1);
	return 0;
}

/* Nothing is written before the next turn of the event loop: after a takeover lines that were
 * written in part must be ended first. */
int output_new(sd_event *loop, const char *path, const char *prefix, int cgroup,
               struct output **ret, struct error *err)
{
	struct output *o = calloc(1, sizeof(*o));
	int r = !o         ? error_set(err, -ENOMEM, "out of memory")
	        : followed ? 0
	                   : output_make_followed(loop, err);

	if (r < 0) {
		free(o);
		return r;
	}
	o->progress.read_fd = o->progress.write_fd = o->watch = -1;
	o->cgroup = cgroup;
	o->frozen = output_is_frozen(cgroup);
	o->next = followed->list;
	followed->list = o;
	o->path = strdup(path);
	o->prefix = prefix ? strdup(prefix) : NULL;
	r = o->path && (o->prefix || !prefix) ? output_open_file(followed, o, err)
	                                      : error_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		output_destroy(followed, o, false);
		return r;
	}
	output_throttle(o);
	o->dirty = true;
	sd_event_source_set_enabled(followed->again, SD_EVENT_ONESHOT);
	*ret = o;
	return 0;
}

int output_worker_fd(const struct output *output)
{
	return output->progress.write_fd;
}

void output_finish(struct output *output)
{
	output->ended = output->dirty = true;
	for (int i = 0; i < FLUSH_BATCHES && output_write_queue(followed) && output->dirty; i++)
		output_read_batch(followed, output);
	output_write_queue(followed);
	sd_event_source_set_enabled(followed->again, SD_EVENT_ONESHOT);
}

/* The tail that was written is in memory, the rest is in the file. */
const char *output_tail(struct output *output)
{
	const size_t room = sizeof(output->shown) - 1;
	const off_t end = output_size_of(output);
	const off_t unread = end > output->ahead ? end - output->ahead : 0;
	size_t n = unread < (off_t)room ? room - unread : 0, begin = 0;
	bool is_cut = unread > (off_t)room || output->n_tail > n;
	ssize_t more;
	char *line;

	if (n > output->n_tail)
		n = output->n_tail;
	memcpy(output->shown, output->tail + output->n_tail - n, n);
	more = pread(output->progress.read_fd, output->shown + n, room - n,
	             unread < (off_t)room ? output->ahead : end - (off_t)room);
	n += more > 0 ? more : 0;
	line = is_cut ? memchr(output->shown, '\n', n) : NULL;
	if (line && line + 1 < output->shown + n)
		begin = line + 1 - output->shown;
	for (size_t i = 0; i < n; i++)
		if (!output->shown[i])
			output->shown[i] = ' ';
	output->shown[n] = '\0';
	return output->shown + begin;
}

void output_free(struct output *output, bool remove)
{
	if (!output)
		return;
	if (!remove || !output->ended || !output_has_more(followed, output)) {
		output_destroy(followed, output, remove);
		return;
	}
	output_freeze(output, false);
	output->cgroup = -1;
	output->orphan = true;
}

bool output_is_pending(void)
{
	for (const struct output *o = followed ? followed->list : NULL; o; o = o->next)
		if (o->orphan)
			return true;
	return false;
}

void output_abandon(void)
{
	struct output *next;

	for (struct output *o = followed ? followed->list : NULL; o; o = next) {
		next = o->next;
		if (o->orphan)
			output_destroy(followed, o, true);
	}
}
