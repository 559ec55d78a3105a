/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroup that has the workers. Where it is goes by where the first supervisor was, a systemd
 * unit say; it is noted in the run directory, as whoever comes next may be somewhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/run.h"
#include "kern/cgroup.h"

#define END_NS (5 * NS_PER_S) /* so long what was killed may take to end */

/* The note is a symbolic link. */
static void note_path(const char *service, char *buf, size_t size)
{
	supervisor_path(service, "cgroup", buf, size);
}

bool supervisor_cgroup(const char *service, char ret[PATH_MAX])
{
	char note[PATH_MAX];
	ssize_t length;

	note_path(service, note, sizeof(note));
	length = readlink(note, ret, PATH_MAX - 1);
	if (length > 0)
		ret[length] = '\0';
	return length > 0;
}

static int write_note(const struct supervisor *sup, struct error *err)
{
	char note[PATH_MAX], is[PATH_MAX];

	note_path(sup->name, note, sizeof(note));
	if (supervisor_cgroup(sup->name, is) && !strcmp(is, sup->cgroup_path))
		return 0;
	/* The one that was there led to nothing any more. */
	if ((unlink(note) < 0 && errno != ENOENT) || symlink(sup->cgroup_path, note) < 0)
		return error_set(err, -errno, "can't write %s: %s", note, strerror(errno));
	return 0;
}

static void await_end(int fd)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	int64_t deadline = clock_ns(CLOCK_MONOTONIC) + END_NS;

	while (cgroup_is_populated(fd) && clock_ns(CLOCK_MONOTONIC) < deadline)
		nanosleep(&pause, NULL);
}

/* All are killed first, and only then waited for. */
static int end_children(const char *path, char *const *names, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = cgroup_open(path, names[i]);

		if (fd >= 0)
			cgroup_kill(fd);
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = cgroup_open(path, names[i]);
		int removed;

		if (fd < 0)
			continue;
		await_end(fd);
		removed = cgroup_remove(path, names[i]);
		if (removed < 0 && removed != -ENOENT)
			r = removed;
	}
	return r;
}

static int clear(const char *path, struct error *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = cgroup_children(path, &names, &n);

	if (r == 0)
		r = end_children(path, names, n);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return r < 0 && r != -ENOENT
	               ? error_set(err, r,
	                           "can't end what an earlier run has left in cgroup %s: %s", path,
	                           strerror(-r))
	               : 0;
}

void run_cgroup_clear(struct supervisor *sup)
{
	struct error err;

	if (sup->cgroup_path[0] && clear(sup->cgroup_path, &err) < 0)
		fprintf(stderr, "%s: %s\n", sup->name, err.text);
}

/* Of a service that is new nothing is to be kept, wherever an earlier one of the name was. */
static int begin(struct supervisor *sup, const char *noted, struct error *err)
{
	int r = cgroup_service(sup->name, true, sup->cgroup_path, err);

	if (r == 0)
		r = clear(sup->cgroup_path, err);
	if (r == 0 && noted && strcmp(noted, sup->cgroup_path) != 0) {
		r = clear(noted, err);
		cgroup_remove_service(noted);
	}
	return r;
}

int run_cgroup_open(struct supervisor *sup, bool taken_over, struct error *err)
{
	char noted[PATH_MAX];
	bool is_noted = supervisor_cgroup(sup->name, noted);
	int r;

	if (is_noted && cgroup_service_known(noted, err) < 0)
		is_noted = false;
	if (!taken_over) {
		r = begin(sup, is_noted ? noted : NULL, err);
	} else if (is_noted) {
		strcpy(sup->cgroup_path, noted);
		r = 0;
	} else {
		r = cgroup_service(sup->name, true, sup->cgroup_path, err);
	}
	if (r == 0)
		r = write_note(sup, err);
	if (r < 0)
		return r;
	sup->cgroup_fd = open(sup->cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return sup->cgroup_fd < 0 ? error_set(err, -errno, "can't open %s: %s", sup->cgroup_path,
	                                      strerror(errno))
	                          : 0;
}

void run_cgroup_remove(struct supervisor *sup)
{
	char note[PATH_MAX];

	if (sup->cgroup_path[0] == '\0' || cgroup_remove_service(sup->cgroup_path) < 0)
		return;
	note_path(sup->name, note, sizeof(note));
	unlink(note);
}
