/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/proc.h"
#include "stream/log_source.h"
#include "stream/log_state_row.h"
#include "stream/log_target.h"

#define FILE_NAME "log.state"
#define FILE_MAX  (3 * LOG_KEEP_MAX) /* bytes; a longer one is not ours */
#define PAUSE_NS  2000000
#define TERM_NS   (2 * NS_PER_S) /* for an end by SIGTERM; then comes SIGKILL */
#define KILL_NS   (4 * NS_PER_S) /* for an end at all */

/* --- the lock */

static struct flock log_state_lock(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* The process that has the lock, and a pidfd of it; -1 = none. */
static int log_state_open_owner(int fd, struct process *ret)
{
	struct flock lock = log_state_lock(), again = log_state_lock();
	_cleanup_close_ int owner = -1;

	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0)
		return -1;
	owner = (int)syscall(SYS_pidfd_open, lock.l_pid, 0);
	/* If it still has the lock, all is of this process, not of a later one of its pid. */
	if (owner < 0 || proc_identify((uint32_t)lock.l_pid, ret) < 0 ||
	    fcntl(fd, F_GETLK, &again) < 0 || again.l_type == F_UNLCK || again.l_pid != lock.l_pid)
		return -1;
	return TAKE_FD(owner);
}

static bool log_state_is_older(struct process_id a, struct process_id b)
{
	return a.start_time != b.start_time ? a.start_time < b.start_time : a.pid < b.pid;
}

/* Returns 0 when we have the lock; 1 if the owner doesn't end; or -ECANCELED if a later supervisor
 * than ours has started the owner. */
static int log_state_end_owner(int fd)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	const struct flock lock = log_state_lock();
	struct process self, other;
	int64_t passed = 0;
	int r = proc_identify((uint32_t)getpid(), &self);

	if (r < 0)
		return r;
	while (fcntl(fd, F_SETLK, &lock) < 0) {
		_cleanup_close_ int owner = log_state_open_owner(fd, &other);

		if (owner >= 0 && log_state_is_older(self.id, other.id))
			return -ECANCELED;
		if (owner >= 0)
			syscall(SYS_pidfd_send_signal, owner, passed < TERM_NS ? SIGTERM : SIGKILL,
			        NULL, 0);
		nanosleep(&pause, NULL);
		passed = clock_ns(CLOCK_MONOTONIC) - begin;
		if (passed > KILL_NS)
			return 1;
	}
	return 0;
}

/* --- reading it */

static void log_state_load(struct log_state *state)
{
	struct stat st;
	ssize_t n;

	if (fstat(state->fd, &st) < 0 || st.st_size <= 0 || st.st_size > (off_t)FILE_MAX)
		return;
	state->text = malloc((size_t)st.st_size);
	n = state->text ? pread(state->fd, state->text, (size_t)st.st_size, 0) : 0;
	state->n = n > 0 ? (size_t)n : 0;
}

static int log_state_open(const struct log_process *log)
{
	const int fd =
	        openat(log->dir_fd, FILE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int log_state_take(struct log_process *log)
{
	struct log_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	r = state->fd = log_state_open(log);
	if (r < 0) {
		free(state);
		return r;
	}
	log->state = state;
	r = log_state_end_owner(state->fd);
	if (r < 0)
		return r;
	if (r == 0)
		log_state_load(state);
	return ftruncate(state->fd, 0) < 0 ? -errno : 0;
}

int log_state_move(struct log_process *log)
{
	const struct flock lock = log_state_lock();
	const int fd = log_state_open(log);

	if (fd < 0)
		return fd;
	/* First, as this ends our lock if it is the same file. */
	close(log->state->fd);
	log->state->fd = fd;
	return fcntl(fd, F_SETLK, &lock) < 0 || ftruncate(fd, 0) < 0 ? -errno : 0;
}

static bool log_state_is_row_of(const struct log_state_row *row, const struct log_source *source)
{
	const struct log_worker *w = source->worker;

	if (!w)
		return row->slot == LOG_STATE_NOTES;
	return row->slot == w->slot && row->number == w->number &&
	       row->stream == (uint32_t)(source - w->streams);
}

static void log_state_restore_row(struct log_source *source, const struct log_state_row *row,
                                  const char *text)
{
	const struct out_stream *out = &source->target->out;

	log_source_restore(source, text, row->length);
	/* A line that was written in part goes on in the same file; in another one it begins again.
	 */
	if (log_state_row_goes_on(row, out->dev, out->ino))
		source->queue.started = row->started;
}

void log_state_restore(struct log_source *source)
{
	struct log_state *state = source->log->state;
	struct log_state_row row;

	for (size_t at = 0; log_state_row_get(state, at, &row); at += sizeof(row) + row.length) {
		if (!source->target || !log_state_is_row_of(&row, source))
			continue;
		log_state_restore_row(source, &row, state->text + at + sizeof(row));
		row.slot = LOG_STATE_RESTORED;
		memcpy(state->text + at, &row, sizeof(row));
		state->n_restored += sizeof(row) + row.length;
	}
	if (state->n && state->n_restored == state->n) {
		free(TAKE_PTR(state->text));
		state->n = state->n_restored = 0;
	}
}

/* --- writing it */

static void log_state_write(struct log_state *state, const struct log_state_row *row,
                            const char *text)
{
	const struct iovec parts[] = {{(void *)row, sizeof(*row)}, {(void *)text, row->length}};

	/* Without memory in /run the lines are lost. */
	if (writev(state->fd, parts, ARRAY_SIZE(parts)) < 0)
		return;
}

static void log_state_write_source(struct log_state *state, const struct log_source *source)
{
	const struct line_queue *queue = &source->queue;
	const struct log_worker *w = source->worker;
	const struct log_target *target = source->target;
	const struct log_state_row row = {
	        .slot = w ? w->slot : LOG_STATE_NOTES,
	        .number = w ? w->number : 0,
	        .stream = w ? (uint32_t)(source - w->streams) : 0,
	        .length = (uint32_t)line_queue_length(queue),
	        .started = queue->started,
	        .dev = target ? target->out.dev : 0,
	        .ino = target ? target->out.ino : 0,
	};

	if (row.length)
		log_state_write(state, &row, queue->text + queue->begin);
}

/* What was left for workers that were not added yet. */
static void log_state_write_rest(struct log_state *state)
{
	struct log_state_row row;

	for (size_t at = 0; log_state_row_get(state, at, &row); at += sizeof(row) + row.length)
		if (row.slot != LOG_STATE_RESTORED)
			log_state_write(state, &row, state->text + at + sizeof(row));
}

void log_state_leave(struct log_process *log)
{
	struct log_state *state = log->state;

	for (struct log_target *target = log->targets; target; target = target->next)
		log_target_report_lost(target);
	log_state_write_source(state, &log->notes);
	for (const struct log_worker *w = log->workers; w; w = w->next) {
		for (int i = 0; i < LOG_MESSAGE_PLACES; i++)
			log_state_write_source(state, &w->streams[i]);
	}
	log_state_write_rest(state);
}
