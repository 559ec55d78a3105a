/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/proc_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/held_child.h"
#include "kern/holder_iterator.h"
#include "kern/proc_epoll.h"
#include "kern/proc_read.h"

/* What a search among named processes examines at most: descriptors and threads; and how long it
 * compares what epoll descriptors watch. More for each listener. */
#define STEPS            20000
#define STEPS_LISTENER   2000
#define COMPARE_NS       20000000ll
#define COMPARE_LISTENER 1000000ll
/* By how many descriptors of a process listeners may be open. */
#define OPENS_MAX 1024

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* What one process does with one socket. */
struct use {
	int fd; /* -1 = the socket is not open */
	int epfd;
	enum evidence evidence;
};

/* A descriptor of the current process that is one of the listeners. */
struct open_listener {
	int fd;
	struct use *use;
};

struct scan {
	const struct proc_scan_request *request;
	uint32_t *pid;   /* the current process */
	size_t steps;    /* so far */
	int64_t compare; /* ns so far */
	struct open_listener opens[OPENS_MAX];
	size_t n_opens;
	uint32_t *inodes; /* of the listeners, ascending */
	struct use *uses; /* of the current process, parallel to inodes */
	size_t n_inodes;
	int *epfds; /* epoll descriptors of the current process */
	size_t n_epfds;
	size_t epfds_capacity;
	struct holder *rows;
	size_t n_rows;
	size_t rows_capacity;
};

/* Whether a bounded search may examine one more descriptor or thread. What it has found counts. */
static bool proc_scan_may_go_on(struct scan *s)
{
	return !s->request->bounded || s->steps++ < STEPS + STEPS_LISTENER * s->n_inodes;
}

/*
 * Reads the next thread that is blocked in a system call that has a descriptor as its first
 * argument: the number of the call, and the descriptor. @tasks is /proc/PID/task. Returns false at
 * the end.
 */
static bool proc_scan_read_blocked_call(struct scan *s, DIR *tasks, long *ret_number, int *ret_fd)
{
	char path[PROC_PATH_MAX], text[256];
	unsigned long long argument;
	int tid;

	while (proc_scan_may_go_on(s) && (tid = proc_read_number(tasks)) >= 0) {
		snprintf(path, sizeof(path), "%d/syscall", tid);
		if (proc_read_text(dirfd(tasks), path, text, sizeof(text)) < 0)
			continue;
		if (sscanf(text, "%ld %llx", ret_number, &argument) == 2 && argument <= INT_MAX) {
			*ret_fd = (int)argument;
			return true;
		}
	}
	return false;
}

static bool proc_scan_is_accept(long number)
{
	return number == SYS_accept || number == SYS_accept4;
}

static bool proc_scan_is_epoll_wait(long number)
{
#ifdef SYS_epoll_wait /* newer architectures have no such system call */
	if (number == SYS_epoll_wait)
		return true;
#endif
	return number == SYS_epoll_pwait || number == SYS_epoll_pwait2;
}

/* Whether a thread of @pid is blocked in a wait on its epoll descriptor @epfd. */
static bool proc_scan_epoll_is_waited(struct scan *s, uint32_t pid, int epfd)
{
	_cleanup_close_ int process = proc_read_open(pid);
	_cleanup_dir_ DIR *tasks = process < 0 ? NULL : proc_read_directory(process, "task");
	long number;
	int fd;

	while (tasks && proc_scan_read_blocked_call(s, tasks, &number, &fd))
		if (proc_scan_is_epoll_wait(number) && fd == epfd)
			return true;
	return false;
}

static int proc_scan_compare_inodes(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return COMPARE(*x, *y);
}

/* The use of socket @inode by the current process; NULL if it is not one of the listeners. */
static struct use *proc_scan_find_use(const struct scan *s, uint32_t inode)
{
	const uint32_t *found = bsearch(&inode, s->inodes, s->n_inodes, sizeof(*s->inodes),
	                                proc_scan_compare_inodes);

	return found ? &s->uses[found - s->inodes] : NULL;
}

/* Clears the table for the next process. */
static void proc_scan_clear_uses(struct scan *s)
{
	for (size_t i = 0; i < s->n_inodes; i++)
		s->uses[i] = (struct use){.fd = -1, .epfd = -1};
}

static int proc_scan_init(struct scan *s)
{
	const struct listener *listeners = s->request->listeners;
	const size_t n = s->request->n_listeners;

	s->inodes = calloc(n + 1, sizeof(*s->inodes));
	s->uses = calloc(n + 1, sizeof(*s->uses));
	if (!s->inodes || !s->uses)
		return -ENOMEM;

	/* A socket of the kernel itself can have inode 0: no process has it open. */
	for (size_t i = 0; i < n; i++)
		if (listeners[i].inode)
			s->inodes[s->n_inodes++] = listeners[i].inode;
	qsort(s->inodes, s->n_inodes, sizeof(*s->inodes), proc_scan_compare_inodes);
	proc_scan_clear_uses(s);
	return 0;
}

static void proc_scan_deinit(struct scan *s)
{
	free(s->inodes);
	free(s->uses);
	free(s->epfds);
	free(s->rows);
}

/* Makes room for one more element. Returns @array, or its new place; NULL if out of memory, with
 * @array unchanged. */
static void *proc_scan_grow_array(void *array, size_t n, size_t *capacity, size_t size)
{
	const size_t more = *capacity ? 2 * *capacity : 64;
	void *grown;

	if (n < *capacity)
		return array;
	grown = reallocarray(array, more, size);
	if (grown)
		*capacity = more;
	return grown;
}

static int proc_scan_add_epfd(struct scan *s, int fd)
{
	int *epfds = proc_scan_grow_array(s->epfds, s->n_epfds, &s->epfds_capacity, sizeof(*epfds));

	if (!epfds)
		return -ENOMEM;
	s->epfds = epfds;
	s->epfds[s->n_epfds++] = fd;
	return 0;
}

static int proc_scan_add_row(struct scan *s, const struct holder *row)
{
	struct holder *rows =
	        proc_scan_grow_array(s->rows, s->n_rows, &s->rows_capacity, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	s->rows = rows;
	s->rows[s->n_rows++] = *row;
	return 0;
}

/* Finds the listeners and the epoll descriptors that the process has open. Returns 1 if it has a
 * listener open, 0 if not, or a negative errno. */
static int proc_scan_descriptors(struct scan *s, int process)
{
	_cleanup_dir_ DIR *fds = proc_read_directory(process, "fd");
	char name[PROC_PATH_MAX], text[PROC_LINK_MAX];
	bool holds = false;
	struct use *use;
	int fd, r;

	s->n_epfds = s->n_opens = 0;
	while (fds && proc_scan_may_go_on(s) && (fd = proc_read_number(fds)) >= 0) {
		snprintf(name, sizeof(name), "%d", fd);
		if (!proc_read_link(dirfd(fds), name, text))
			continue;
		if (strcmp(text, "anon_inode:[eventpoll]") == 0) {
			r = proc_scan_add_epfd(s, fd);
			if (r < 0)
				return r;
			continue;
		}
		use = proc_scan_find_use(s, (uint32_t)proc_read_inode(text, "socket"));
		if (use && s->n_opens < OPENS_MAX)
			s->opens[s->n_opens++] = (struct open_listener){fd, use};
		if (use && (use->fd < 0 || fd < use->fd)) {
			use->fd = fd;
			holds = true;
		}
	}
	return holds;
}

/* Finds the listeners that an epoll descriptor of the process watches. An inode number alone proves
 * nothing, as it may belong to another file system; nor does a descriptor number, which may mean
 * another file by now. */
static void proc_scan_watches(struct scan *s, int process, int epfd)
{
	_cleanup_file_ FILE *watches = proc_epoll_open(process, epfd);
	uint64_t inode;
	int fd;

	while (watches && proc_epoll_read(watches, &fd, &inode)) {
		struct use *use = proc_scan_find_use(s, (uint32_t)inode);

		if (use && use->evidence < EVIDENCE_EPOLL && proc_read_socket(process, fd) == inode)
			*use = (struct use){fd, epfd, EVIDENCE_EPOLL};
	}
}

/* The same by comparing each of them. Takes longer if there are many listeners, but does not depend
 * on how many descriptors are watched as much. */
static void proc_scan_compare_watches(struct scan *s, uint32_t pid, int epfd)
{
	const int64_t start = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < s->n_opens; i++) {
		const struct open_listener *it = &s->opens[i];

		if (s->compare + clock_ns(CLOCK_MONOTONIC) - start >
		    COMPARE_NS + COMPARE_LISTENER * (int64_t)s->n_inodes)
			break;
		if (it->use->evidence < EVIDENCE_EPOLL &&
		    proc_epoll_watches(pid, epfd, it->fd, s->inodes[it->use - s->uses]))
			*it->use = (struct use){it->fd, epfd, EVIDENCE_EPOLL};
	}
	s->compare += clock_ns(CLOCK_MONOTONIC) - start;
}

/* Finds the listeners on which a thread is blocked in accept(). */
static void proc_scan_accepts(struct scan *s, int process)
{
	_cleanup_dir_ DIR *tasks = proc_read_directory(process, "task");
	long number;
	int fd;

	while (tasks && proc_scan_read_blocked_call(s, tasks, &number, &fd)) {
		struct use *use = proc_scan_is_accept(number)
		                          ? proc_scan_find_use(s, proc_read_socket(process, fd))
		                          : NULL;

		if (use && use->evidence < EVIDENCE_ACCEPTS)
			*use = (struct use){fd, -1, EVIDENCE_ACCEPTS};
	}
}

/* Adds the rows of the current process. */
static int proc_scan_add_rows(struct scan *s, uint32_t pid, const struct process *id)
{
	int r;

	for (size_t i = 0; i < s->n_inodes; i++) {
		const struct use *use = &s->uses[i];
		struct holder row = {
		        .id = id->id,
		        .ppid = id->ppid,
		        .inode = s->inodes[i],
		        .fd = use->fd,
		        .epfd = use->epfd,
		        .evidence = use->evidence,
		};

		if (use->fd < 0)
			continue;
		memcpy(row.comm, id->comm, sizeof(row.comm));
		r = proc_scan_add_row(s, &row);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Examines a process that has listeners open. */
static int proc_scan_examine_process(struct scan *s, int process, uint32_t pid)
{
	struct process id;

	if (proc_read_identity(process, pid, &id) < 0)
		return 0;
	for (size_t i = 0; i < s->n_epfds; i++) {
		if (s->request->bounded)
			proc_scan_compare_watches(s, pid, s->epfds[i]);
		else
			proc_scan_watches(s, process, s->epfds[i]);
	}
	proc_scan_accepts(s, process);
	return proc_scan_add_rows(s, pid, &id);
}

static bool proc_scan_is_skipped(const struct scan *s, uint32_t pid)
{
	for (size_t i = 0; i < s->request->n_skipped; i++)
		if (s->request->skipped[i] == pid)
			return true;
	return held_child_waits_for(pid);
}

static int proc_scan_process(struct scan *s, uint32_t pid)
{
	_cleanup_close_ int process = -1;
	int r;

	if (proc_scan_is_skipped(s, pid))
		return 0;
	process = proc_read_open(pid);
	if (process < 0)
		return 0;
	*s->pid = pid;
	r = proc_scan_descriptors(s, process);
	if (r > 0) {
		r = proc_scan_examine_process(s, process, pid);
		proc_scan_clear_uses(s);
	}
	return r;
}

static int proc_scan_compare_rows(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;
	int r = COMPARE(x->inode, y->inode);

	return r ? r : COMPARE(x->id.pid, y->id.pid);
}

/*
 * After a fork parent and child share the epoll descriptor. The process that waits on it serves the
 * listener. If neither waits at this moment, it is the process that made the descriptor: the
 * parent.
 */
static void proc_scan_settle_shared_epoll(struct scan *s)
{
	for (struct holder *child = s->rows; child < s->rows + s->n_rows; child++) {
		const struct holder key = {.inode = child->inode, .id.pid = child->ppid};
		struct holder *parent =
		        bsearch(&key, s->rows, s->n_rows, sizeof(*s->rows), proc_scan_compare_rows);

		*s->pid = child->id.pid;
		if (child->epfd < 0 || !parent || parent->epfd != child->epfd ||
		    syscall(SYS_kcmp, parent->id.pid, child->id.pid, KCMP_FILE, parent->epfd,
		            child->epfd) != 0)
			continue;
		if (!proc_scan_epoll_is_waited(s, child->id.pid, child->epfd))
			child->evidence = EVIDENCE_HOLDS;
		else if (!proc_scan_epoll_is_waited(s, parent->id.pid, parent->epfd))
			parent->evidence = EVIDENCE_HOLDS;
	}
	/* Not earlier: a child can be the parent of another process. */
	for (size_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].evidence < EVIDENCE_EPOLL)
			s->rows[i].epfd = -1;
}

/* Scans every process except ours, or as many as a bounded search may. */
static int proc_scan_all(struct scan *s)
{
	_cleanup_dir_ DIR *proc = proc_read_directory(AT_FDCWD, "/proc");
	int pid, r;

	if (!proc)
		return -errno;
	while (proc_scan_may_go_on(s) && (pid = proc_read_number(proc)) >= 0) {
		r = (uint32_t)pid == s->request->self ? 0 : proc_scan_process(s, (uint32_t)pid);
		if (r < 0)
			return r;
	}
	return 0;
}

static int proc_scan_pids(struct scan *s, const uint32_t *pids, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0 && proc_scan_may_go_on(s); i++)
		r = proc_scan_process(s, pids[i]);
	return r < 0 ? r : 0;
}

/* Scans every process except ours that has a listener open, whatever others have open. */
static int proc_scan_shown(struct scan *s)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0, kept = 0;
	int r = holder_iterator_read(s->request->iterator, &pids, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (pids[i] != s->request->self)
			pids[kept++] = pids[i];
	return proc_scan_pids(s, pids, kept);
}

static int proc_scan_requested(struct scan *s)
{
	if (s->request->pids)
		return proc_scan_pids(s, s->request->pids, s->request->n_pids);
	return s->request->iterator < 0 ? proc_scan_all(s) : proc_scan_shown(s);
}

int proc_scan(const struct proc_scan_request *request, uint32_t *ret_pid, struct holder **ret,
              size_t *ret_n)
{
	_cleanup_(proc_scan_deinit) struct scan s = {.request = request, .pid = ret_pid};
	int r = proc_scan_init(&s);

	if (r == 0 && s.n_inodes)
		r = proc_scan_requested(&s);
	if (r < 0)
		return r;
	if (s.n_rows) {
		qsort(s.rows, s.n_rows, sizeof(*s.rows), proc_scan_compare_rows);
		proc_scan_settle_shared_epoll(&s);
	}
	*ret = TAKE_PTR(s.rows);
	*ret_n = s.n_rows;
	return 0;
}
