/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/out_queue.h"

#define OUTPUT_BATCH  65536 /* read at a time; a longer line is passed on in pieces of that */
#define OUTPUT_PAGE   4096
#define OUTPUT_MARK   "trusted.reuseportd" /* up to where it was passed on */
#define OUTPUT_BEHIND OUTPUT_BEHIND_MAX

struct output {
	struct output *next;
	struct followed *followed;
	char *path, *prefix;
	int watch;
	int read_fd, write_fd;
	off_t at;      /* passed on up to here */
	off_t punched; /* and freed up to here */
	int cgroup;
	bool frozen;
	char tail[OUTPUT_TAIL_MAX]; /* of what was passed on */
	size_t n_tail;
	char shown[OUTPUT_TAIL_MAX + 1];
};

/* All outputs of the process: they share the descriptor that tells of changes, and what is on its
 * way to our standard output. There as long as there is any. */
struct followed {
	int inotify_fd;
	sd_event_source *source;
	struct out_queue *queue;
	struct output *list;
	/* The batch that is on its way: of whom, and how long. */
	struct output *taken;
	size_t n_taken;
};

static struct followed *followed;

/* --- who writes faster than is read waits */

static void freeze(struct output *o, bool on)
{
	_cleanup_close_ int fd = -1;

	if (o->cgroup < 0 || o->frozen == on)
		return;
	fd = openat(o->cgroup, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, on ? "1" : "0", 1) == 1)
		o->frozen = on;
}

static off_t size_of(const struct output *o)
{
	struct stat st;

	return fstat(o->read_fd, &st) < 0 ? o->at : st.st_size;
}

static void mind_the_gap(struct output *o)
{
	off_t behind = size_of(o) - o->at;

	if (behind > OUTPUT_BEHIND)
		freeze(o, true);
	else if (behind < OUTPUT_BEHIND / 2)
		freeze(o, false);
}

/* --- lines */

static void remember(struct output *o, const char *text, size_t n)
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

/* Puts them into the queue, each with the prefix, and an end where the last one has none. */
static void queue_lines(struct output *o, const char *text, size_t n)
{
	remember(o, text, n);
	while (n) {
		const char *end = memchr(text, '\n', n);
		size_t length = end ? (size_t)(end + 1 - text) : n;

		if (o->prefix)
			out_queue_add(followed->queue, o->prefix, strlen(o->prefix));
		out_queue_add(followed->queue, text, length);
		if (!end)
			out_queue_add(followed->queue, "\n", 1);
		text += length;
		n -= length;
	}
}

/* Up to where it was passed on is noted in the file itself, and what is before that is freed, page
 * by page. Killed between writing and this, the next supervisor passes on one batch again: twice is
 * better than never. */
static void passed_on(struct output *o, size_t n)
{
	off_t page;

	o->at += n;
	page = o->at / OUTPUT_PAGE * OUTPUT_PAGE;
	fsetxattr(o->read_fd, OUTPUT_MARK, &o->at, sizeof(o->at), 0);
	if (page > o->punched && fallocate(o->write_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                                   o->punched, page - o->punched) == 0)
		o->punched = page;
}

/* Queues the next whole lines, at most a batch; @all: and the last one without an end. Returns how
 * many bytes of the file that were. */
static size_t take_batch(struct output *o, bool all)
{
	char text[OUTPUT_BATCH];
	ssize_t n = pread(o->read_fd, text, sizeof(text), o->at);
	const char *end = n > 0 ? memrchr(text, '\n', n) : NULL;

	if (n <= 0)
		return 0;
	if (end)
		n = end + 1 - text;
	else if (n < (ssize_t)sizeof(text) && !all)
		return 0;
	queue_lines(o, text, n);
	return n;
}

/* What was on its way has been written. */
static bool settle(struct followed *f)
{
	if (!out_queue_flush(f->queue))
		return false;
	if (f->taken)
		passed_on(f->taken, f->n_taken);
	f->taken = NULL;
	return true;
}

/* As long as our standard output takes it: one batch after the other, each of one worker. */
static void pump(void *data)
{
	struct followed *f = data;
	bool more = true;

	while (more) {
		more = false;
		for (struct output *o = f->list; o && settle(f); o = o->next) {
			f->n_taken = take_batch(o, false);
			f->taken = f->n_taken ? o : NULL;
			more |= f->n_taken > 0;
		}
		more &= settle(f);
	}
	for (struct output *o = f->list; o; o = o->next)
		mind_the_gap(o);
}

static int on_change(sd_event_source *source, int fd, uint32_t events, void *data)
{
	char ignored[4096] __attribute__((aligned(8)));

	(void)source;
	(void)events;
	while (read(fd, ignored, sizeof(ignored)) > 0)
		;
	pump(data);
	return 0;
}

/* --- the shared part */

static void followed_free(struct followed *f)
{
	sd_event_source_disable_unref(f->source);
	cleanup_close(&f->inotify_fd);
	out_queue_free(f->queue);
	free(f);
}

static int followed_new(sd_event *loop, struct error *err)
{
	struct followed *f = calloc(1, sizeof(*f));
	int r = f ? 0 : -ENOMEM;

	if (r == 0) {
		f->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		r = f->inotify_fd < 0 ? -errno : out_queue_new(loop, pump, f, &f->queue);
	}
	if (r >= 0)
		r = sd_event_add_io(loop, &f->source, f->inotify_fd, EPOLLIN, on_change, f);
	if (r < 0) {
		if (f)
			followed_free(f);
		return error_set(err, r, "can't follow the workers' output: %s", strerror(-r));
	}
	followed = f;
	return 0;
}

/* --- one worker's */

static int open_file(struct output *o, struct error *err)
{
	off_t mark;

	o->write_fd = open(o->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	o->read_fd = open(o->path, O_RDONLY | O_CLOEXEC);
	o->watch =
	        o->read_fd < 0 ? -1 : inotify_add_watch(followed->inotify_fd, o->path, IN_MODIFY);
	if (o->watch < 0 || o->write_fd < 0)
		return error_set(err, -errno, "can't follow %s: %s", o->path, strerror(errno));
	if (fgetxattr(o->read_fd, OUTPUT_MARK, &mark, sizeof(mark)) == sizeof(mark)) {
		o->at = mark;
	} else {
		mark = lseek(o->read_fd, 0, SEEK_DATA); /* not marked: as far as it is freed */
		o->at = mark > 0 ? mark : 0;
	}
	o->punched = o->at / OUTPUT_PAGE * OUTPUT_PAGE;
	return 0;
}

int output_new(sd_event *loop, const char *path, const char *prefix, int cgroup,
               struct output **ret, struct error *err)
{
	struct output *o = calloc(1, sizeof(*o));
	int r = !o || followed ? 0 : followed_new(loop, err);

	if (!o)
		return error_set(err, -ENOMEM, "out of memory");
	o->read_fd = o->write_fd = o->watch = -1;
	o->cgroup = cgroup;
	o->frozen = true; /* by a supervisor that was killed, perhaps */
	if (r == 0) {
		o->next = followed->list;
		followed->list = o;
		o->path = strdup(path);
		o->prefix = prefix ? strdup(prefix) : NULL;
		r = o->path && (o->prefix || !prefix) ? open_file(o, err)
		                                      : error_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		output_free(o, false);
		return r;
	}
	mind_the_gap(o);
	pump(followed);
	*ret = o;
	return 0;
}

int output_worker_fd(const struct output *output)
{
	return output->write_fd;
}

void output_flush(struct output *output)
{
	size_t n;

	if (followed->taken == output) { /* it is in the queue, and so is not read again */
		passed_on(output, followed->n_taken);
		followed->taken = NULL;
	}
	while ((n = take_batch(output, true)))
		passed_on(output, n);
	settle(followed);
}

const char *output_tail(struct output *output)
{
	off_t end = size_of(output), from = output->at;
	size_t n = 0;
	ssize_t unread;
	char *line;

	if (end - from >= OUTPUT_TAIL_MAX) {
		from = end - OUTPUT_TAIL_MAX;
	} else {
		n = OUTPUT_TAIL_MAX - (end - from);
		if (n > output->n_tail)
			n = output->n_tail;
		memcpy(output->shown, output->tail + output->n_tail - n, n);
	}
	unread = pread(output->read_fd, output->shown + n, OUTPUT_TAIL_MAX - n, from);
	n += unread > 0 ? unread : 0;
	output->shown[n] = '\0';
	if (n < OUTPUT_TAIL_MAX)
		return output->shown;
	line = strchr(output->shown, '\n'); /* the first one may be cut */
	return line ? line + 1 : output->shown;
}

void output_free(struct output *output, bool remove)
{
	struct output **at = followed ? &followed->list : NULL;

	if (!output)
		return;
	freeze(output, false);
	while (at && *at && *at != output)
		at = &(*at)->next;
	if (at && *at)
		*at = output->next;
	if (followed && followed->taken == output)
		followed->taken = NULL;
	if (output->watch >= 0)
		inotify_rm_watch(followed->inotify_fd, output->watch);
	cleanup_close(&output->read_fd);
	cleanup_close(&output->write_fd);
	if (remove && output->path)
		unlink(output->path);
	free(output->path);
	free(output->prefix);
	free(output);
	if (followed && !followed->list) {
		followed_free(followed);
		followed = NULL;
	}
}
