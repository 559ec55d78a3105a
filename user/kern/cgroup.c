/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/cgroup_file.h"

/* How deep the processes of a worker may nest cgroups of their own: we remove them recursively. */
#define NESTING_MAX  32
#define NESTING_TEXT "32"

/* --- one cgroup --- */

static int cgroup_make_at(int at, const char *name)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (mkdirat(at, name, 0755) < 0)
		return -errno;
	fd = cgroup_file_open_directory(at, name);
	r = fd < 0 ? fd : cgroup_file_write(fd, "cgroup.max.depth", NESTING_TEXT);
	if (r < 0) {
		unlinkat(at, name, AT_REMOVEDIR);
		return r;
	}
	return TAKE_FD(fd);
}

int cgroup_make(const char *parent, const char *name, struct error *err)
{
	_cleanup_close_ int at = cgroup_file_open_directory(AT_FDCWD, parent);
	int r = at < 0 ? at : cgroup_make_at(at, name);
	char path[PATH_MAX];

	if (r >= 0)
		return r;
	snprintf(path, sizeof(path), "%s/%s", parent, name);
	return cgroup_file_explain(r, path, err);
}

int cgroup_open(const char *parent, const char *name)
{
	_cleanup_close_ int at = cgroup_file_open_directory(AT_FDCWD, parent);

	return at < 0 ? at : cgroup_file_open_directory(at, name);
}

uint64_t cgroup_id(int fd)
{
	struct stat st = {0};

	return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

/* The line of cgroup2 is the last one: "0::/PATH". Lines of cgroup v1 may come before it. */
int cgroup_of_process(uint32_t pid, char *buf, size_t size)
{
	char path[64], text[PATH_MAX + 4096];
	char *line;
	int r;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/cgroup", pid);
	r = cgroup_file_read(AT_FDCWD, path, text, sizeof(text));
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	line = !strncmp(text, "0::", 3) ? text : strstr(text, "\n0::");
	if (!line)
		return -ENOENT;
	line = strchr(line, '/');
	if (!line || !strchr(line, '\n') || strcspn(line, "\n") >= size)
		return -ENAMETOOLONG;
	*strchr(line, '\n') = '\0';
	strcpy(buf, line);
	return 0;
}

int cgroup_open_events(int fd)
{
	const int events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	return events < 0 ? -errno : events;
}

bool cgroup_is_populated(int fd)
{
	_cleanup_close_ int own = cgroup_open_events(fd);
	char text[256];
	/* EPOLLPRI is cleared only when the polled descriptor itself is read. */
	const ssize_t length = pread(own < 0 ? fd : own, text, sizeof(text) - 1, 0);

	if (length < 0)
		return false;
	text[length] = '\0';
	return strstr(text, "populated 1") != NULL;
}

void cgroup_await_empty(int fd, unsigned int ms)
{
	const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + ms * (NS_PER_S / 1000);

	while (cgroup_is_populated(fd) && clock_ns(CLOCK_MONOTONIC) < deadline)
		usleep(1000);
}

int cgroup_kill(int fd)
{
	return cgroup_file_write(fd, "cgroup.kill", "1");
}

/* --- cgroups in it --- */

static int cgroup_compare_names(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void cgroup_free_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int cgroup_add_name(char ***names, size_t *n, const char *name)
{
	char **more = reallocarray(*names, *n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	*names = more;
	more[*n] = strdup(name);
	if (!more[*n])
		return -ENOMEM;
	(*n)++;
	return 0;
}

static int cgroup_list_children_of(int fd, char ***ret, size_t *ret_n)
{
	_cleanup_close_ int again = cgroup_file_open_directory(fd, ".");
	_cleanup_dir_ DIR *dir = again < 0 ? NULL : fdopendir(again);
	const struct dirent *entry;
	char **names = NULL;
	size_t n = 0;
	int r = 0;

	if (!dir && errno != ENOENT)
		return -errno;
	if (dir)
		TAKE_FD(again);
	while (r == 0 && dir && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			r = cgroup_add_name(&names, &n, entry->d_name);
	if (r < 0) {
		cgroup_free_names(names, n);
		return r;
	}
	if (n)
		qsort(names, n, sizeof(*names), cgroup_compare_names);
	*ret = names;
	*ret_n = n;
	return 0;
}

int cgroup_list_children(const char *parent, char ***ret, size_t *ret_n)
{
	_cleanup_close_ int fd = cgroup_file_open_directory(AT_FDCWD, parent);

	return fd < 0 ? fd : cgroup_list_children_of(fd, ret, ret_n);
}

/*
 * Calls @visit for @fd and all cgroups below it, from the leaves up, until it fails. Ignores
 * cgroups that disappear during the walk.
 */
static int cgroup_walk(int fd, int depth, int (*visit)(int fd, void *data), void *data)
{
	char **names = NULL;
	size_t n = 0;
	int r = depth > NESTING_MAX ? -ELOOP : cgroup_list_children_of(fd, &names, &n);

	for (size_t i = 0; i < n && r == 0; i++) {
		_cleanup_close_ int child = cgroup_file_open_directory(fd, names[i]);

		if (child < 0 && child != -ENOENT)
			r = child;
		if (child >= 0)
			r = cgroup_walk(child, depth + 1, visit, data);
	}
	cgroup_free_names(names, n);
	return r == 0 ? visit(fd, data) : r;
}

/* Removes the child cgroups of @fd, but not @fd itself. */
static int cgroup_remove_children(int fd, void *data)
{
	char **names = NULL;
	size_t n = 0;
	int r = cgroup_list_children_of(fd, &names, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		if (unlinkat(fd, names[i], AT_REMOVEDIR) < 0 && errno != ENOENT)
			r = -errno;
	cgroup_free_names(names, n);
	return r;
}

static int cgroup_remove_at(int at, const char *name)
{
	_cleanup_close_ int fd = cgroup_file_open_directory(at, name);
	int r;

	if (fd < 0)
		return fd;
	if (cgroup_is_populated(fd))
		return -EBUSY;
	r = cgroup_walk(fd, 0, cgroup_remove_children, NULL);
	if (r == 0 && unlinkat(at, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int cgroup_remove(const char *parent, const char *name)
{
	_cleanup_close_ int at = cgroup_file_open_directory(AT_FDCWD, parent);

	return at < 0 ? at : cgroup_remove_at(at, name);
}

/* --- processes --- */

struct pids {
	uint32_t *list;
	size_t n, capacity;
};

static int cgroup_add_pid(struct pids *pids, uint32_t pid)
{
	if (pids->n == pids->capacity) {
		const size_t capacity = pids->capacity ? 2 * pids->capacity : 16;
		uint32_t *list = reallocarray(pids->list, capacity, sizeof(*list));

		if (!list)
			return -ENOMEM;
		pids->list = list;
		pids->capacity = capacity;
	}
	pids->list[pids->n++] = pid;
	return 0;
}

static int cgroup_read_pids(int fd, void *data)
{
	_cleanup_close_ int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	_cleanup_file_ FILE *file = procs < 0 ? NULL : fdopen(procs, "r");
	uint32_t pid;
	int r = 0;

	if (!file) /* the cgroup is gone */
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	TAKE_FD(procs);
	/* The file of a threaded cgroup can't be read: its processes are listed in the cgroup
	 * above. 0 stands for a process outside our pid namespace. */
	while (r == 0 && fscanf(file, "%" SCNu32, &pid) == 1)
		r = pid ? cgroup_add_pid(data, pid) : 0;
	return r;
}

static int cgroup_compare_pids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int cgroup_list_processes(int fd, uint32_t **ret, size_t *ret_n)
{
	struct pids pids = {0};
	int r = cgroup_walk(fd, 0, cgroup_read_pids, &pids);
	size_t n = 0;

	if (r < 0) {
		free(pids.list);
		return r;
	}
	if (pids.n)
		qsort(pids.list, pids.n, sizeof(*pids.list), cgroup_compare_pids);
	/* A process that moved between the cgroups during the walk is listed twice. */
	for (size_t i = 0; i < pids.n; i++)
		if (n == 0 || pids.list[n - 1] != pids.list[i])
			pids.list[n++] = pids.list[i];
	*ret = pids.list;
	*ret_n = n;
	return 0;
}

static uint64_t cgroup_measure_resident(uint32_t pid)
{
	char path[64], text[256];
	uint64_t pages = 0;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/statm", pid);
	if (cgroup_file_read(AT_FDCWD, path, text, sizeof(text)) < 0 ||
	    sscanf(text, "%*u %" SCNu64, &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The charged memory that the kernel reclaims when memory is needed. For a program that reads or
 * serves files it grows as far as the host has room. */
static uint64_t cgroup_measure_reclaimable(int fd)
{
	static const char *const names[] = {"inactive_file ", "active_file ", "slab_reclaimable "};
	char text[8192];
	uint64_t sum = 0;

	if (cgroup_file_read(fd, "memory.stat", text, sizeof(text)) < 0)
		return 0;
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (!strncmp(line, names[i], strlen(names[i])))
				sum += strtoull(line + strlen(names[i]), NULL, 10);
	}
	return sum;
}

uint64_t cgroup_measure_memory(int fd)
{
	_cleanup_free_ uint32_t *pids = NULL;
	uint64_t sum = 0;
	size_t n = 0;
	char text[64];

	if (cgroup_file_read(fd, "memory.current", text, sizeof(text)) == 0) {
		const uint64_t all = strtoull(text, NULL, 10),
		               cached = cgroup_measure_reclaimable(fd);

		return all > cached ? all - cached : 0;
	}
	if (cgroup_list_processes(fd, &pids, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		sum += cgroup_measure_resident(pids[i]);
	return sum;
}

void cgroup_continue(int fd)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	if (cgroup_list_processes(fd, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		kill((pid_t)pids[i], SIGCONT);
}
