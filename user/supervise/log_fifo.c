/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/log_fifo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/held_fds.h"
#include "stream/log_message.h"

#define PAIRS_AT_ONCE (HELD_FDS_MAX / 2) /* workers */
#define HELD_MAX      64                 /* children that wait for locks of FIFOs */

static const char *const log_fifo_names[] = LOG_MESSAGE_FIFOS;

static int log_fifo_open_folder(const char *run_dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/out", run_dir);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void log_fifo_name(unsigned int slot, unsigned int number, int stream, char ret[64])
{
	snprintf(ret, 64, "%u-%u%s", slot, number, log_fifo_names[stream]);
}

static void log_fifo_close(int fds[2])
{
	for (int i = 0; i < 2; i++)
		cleanup_close(&fds[i]);
	fds[0] = fds[1] = -1;
}

static int log_fifo_make_one(int folder, const char *name, int *ret_theirs, int *ret_ours)
{
	if (mkfifoat(folder, name, 0600) < 0)
		return -errno;
	*ret_theirs = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_theirs < 0)
		return -errno;
	*ret_ours = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	return *ret_ours < 0 ? -errno : 0;
}

int log_fifo_make(const char *run_dir, unsigned int slot, unsigned int number, int ret_theirs[2],
                  int ret_ours[2], struct error *err)
{
	_cleanup_close_ int folder = log_fifo_open_folder(run_dir);
	int theirs[2] = {-1, -1}, ours[2] = {-1, -1};
	int r = folder < 0 ? -errno : 0;

	for (int i = 0; r == 0 && i < 2; i++) {
		char name[64];

		log_fifo_name(slot, number, i, name);
		r = log_fifo_make_one(folder, name, &theirs[i], &ours[i]);
	}
	if (r < 0) {
		log_fifo_close(theirs);
		log_fifo_close(ours);
		return error_set(err, r, "can't make a FIFO in %s/out for the worker's output: %s",
		                 run_dir, strerror(-r));
	}
	memcpy(ret_theirs, theirs, sizeof(theirs));
	memcpy(ret_ours, ours, sizeof(ours));
	return 0;
}

static int log_fifo_open_one(int folder, const char *name)
{
	_cleanup_close_ int fd =
	        openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) ? TAKE_FD(fd) : -1;
}

/* Which stream of a worker it is; -1: it is no FIFO of ours. */
static int log_fifo_parse(const char *name, unsigned int *ret_slot, unsigned int *ret_number)
{
	char again[64];

	if (sscanf(name, "%u-%u.", ret_slot, ret_number) != 2)
		return -1;
	for (int i = 0; i < 2; i++) {
		log_fifo_name(*ret_slot, *ret_number, i, again);
		if (!strcmp(name, again))
			return i;
	}
	return -1;
}

/* The FIFOs of some workers. */
struct log_fifo_search {
	int socket, folder;
	struct log_fifo_pair {
		unsigned int slot, number;
	} pairs[PAIRS_AT_ONCE];
	size_t n;
	/* By the child: */
	size_t at;
	bool found[PAIRS_AT_ONCE];
	int result;
};

/* Opening a FIFO takes its lock, which a worker can keep as long as it likes. A supervisor that was
 * killed may have left half of a pair. */
static void log_fifo_open_pairs(void *data)
{
	struct log_fifo_search *it = data;
	int fds[2 * PAIRS_AT_ONCE];
	size_t n = 0;

	for (it->at = 0; it->at < it->n; it->at++) {
		const struct log_fifo_pair *pair = &it->pairs[it->at];

		for (int i = 0; i < 2; i++) {
			char name[64];

			log_fifo_name(pair->slot, pair->number, i, name);
			fds[n + i] = log_fifo_open_one(it->folder, name);
		}
		it->found[it->at] = fds[n] >= 0 && fds[n + 1] >= 0;
		n += it->found[it->at] ? 2 : 0;
	}
	it->result = n ? held_fds_send(it->socket, fds, n) : 0;
}

/* Without the one that keeps us waiting. */
static void log_fifo_leave_out(struct log_fifo_search *it)
{
	if (it->at < it->n)
		it->pairs[it->at] = it->pairs[--it->n];
}

/* Calls @each for each pair. A half one is removed. */
static void log_fifo_list_some(struct log_fifo_search *it,
                               void (*each)(unsigned int slot, unsigned int number,
                                            const int fds[2], void *data),
                               void *data)
{
	struct held_child_call call = {
	        .run = log_fifo_open_pairs, .keep = {-1, it->folder}, .max = HELD_MAX};
	int fds[2 * PAIRS_AT_ONCE], ours = -1;
	enum held_child_result result;
	size_t n = 0;

	do {
		result = held_fds_run(&call, it, sizeof(*it), &it->socket, &ours);
		if (result == HELD_CHILD_STUCK)
			log_fifo_leave_out(it);
	} while (result == HELD_CHILD_STUCK && it->n);
	if (result != HELD_CHILD_DONE)
		return;
	for (size_t i = 0; i < it->n; i++)
		n += it->found[i] ? 2 : 0;
	if (it->result < 0 || n == 0 || held_fds_receive(TAKE_FD(ours), fds, n) < 0) {
		cleanup_close(&ours);
		n = 0;
	}
	for (size_t i = 0, at = 0; i < it->n; i++) {
		const struct log_fifo_pair *pair = &it->pairs[i];
		char name[64];

		if (it->found[i] && n) {
			each(pair->slot, pair->number, fds + at, data);
			at += 2;
		}
		for (int stream = 0; !it->found[i] && stream < 2; stream++) {
			log_fifo_name(pair->slot, pair->number, stream, name);
			unlinkat(it->folder, name, 0);
		}
	}
}

void log_fifo_list(const char *run_dir,
                   void (*each)(unsigned int slot, unsigned int number, const int fds[2],
                                void *data),
                   void *data)
{
	const int folder = log_fifo_open_folder(run_dir);
	_cleanup_dir_ DIR *dir = folder < 0 ? NULL : fdopendir(folder);
	struct log_fifo_search search = {.folder = folder};
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct log_fifo_pair pair = {};
		char first[64];
		int stream;

		if (entry->d_name[0] == '.')
			continue;
		stream = log_fifo_parse(entry->d_name, &pair.slot, &pair.number);
		log_fifo_name(pair.slot, pair.number, 0, first);
		if (stream < 0 || (stream > 0 && faccessat(folder, first, F_OK, 0) < 0))
			unlinkat(folder, entry->d_name, 0);
		if (stream != 0)
			continue;
		search.pairs[search.n++] = pair;
		if (search.n < PAIRS_AT_ONCE)
			continue;
		log_fifo_list_some(&search, each, data);
		search.n = 0;
	}
	if (search.n)
		log_fifo_list_some(&search, each, data);
}

/* Returns the stream, as log_fifo_parse() does. */
static int log_fifo_parse_deleted(char *target, unsigned int *ret_slot, unsigned int *ret_number)
{
	char *mark = strstr(target, " (deleted)"), *name;

	if (!mark)
		return -1;
	*mark = '\0';
	name = strrchr(target, '/');
	return name ? log_fifo_parse(name + 1, ret_slot, ret_number) : -1;
}

void log_fifo_list_deleted(uint32_t pid,
                           void (*each)(unsigned int slot, unsigned int number, int stream, int fd,
                                        void *data),
                           void *data)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char path[PATH_MAX];
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		const ssize_t n = readlinkat(dirfd(dir), entry->d_name, path, sizeof(path) - 1);
		unsigned int slot, number;
		int stream, fd;

		path[n < 0 ? 0 : n] = '\0';
		stream = log_fifo_parse_deleted(path, &slot, &number);
		fd = stream < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
		if (fd >= 0)
			each(slot, number, stream, fd, data);
	}
}

int log_fifo_make_ended(int ret_fds[2])
{
	for (int i = 0; i < 2; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
			const int r = -errno;

			if (i)
				close(ret_fds[0]);
			return r;
		}
		close(ends[1]);
		ret_fds[i] = ends[0];
	}
	return 0;
}
