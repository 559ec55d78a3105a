/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/held_child.h"
#include "kern/held_fds.h"
#include "kern/proc_epoll.h"
#include "kern/proc_read.h"

#define HELD_MAX       64  /* children that have got files that can't be closed */
#define HELD_SERVE_MAX 256 /* children that wait for locks of processes */
#define STUCK_MAX      8   /* processes that a call waits for */

int proc_identify(uint32_t pid, struct process *ret)
{
	_cleanup_close_ int process = proc_read_open(pid);

	return process < 0 ? process : proc_read_identity(process, pid, ret);
}

int proc_find_oldest(const uint32_t *pids, size_t n, struct process *ret)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		struct process it;

		if (proc_identify(pids[i], &it) < 0 ||
		    (found && it.id.start_time >= ret->id.start_time))
			continue;
		*ret = it;
		found = true;
	}
	return found ? 0 : -ESRCH;
}

static bool proc_has_socket(uint32_t pid, int fd, uint32_t inode)
{
	char path[PROC_PATH_MAX], text[PROC_LINK_MAX];

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/fd/%d", pid, fd);
	return proc_read_link(AT_FDCWD, path, text) && proc_read_inode(text, "socket") == inode;
}

/* The identity is checked last: a process that has ended doesn't get its pid back, so the earlier
 * answers came from the same process. That saves opening /proc/PID for each of a thousand workers.
 */
static bool proc_still_serves(const struct rpd_worker *w, uint32_t inode)
{
	struct process now;

	return proc_has_socket(w->pid, w->fd, inode) &&
	       (w->epfd < 0 || proc_epoll_watches(w->pid, w->epfd, w->fd, inode)) &&
	       proc_read_identity_now(w->pid, &now) == 0 && process_same(now.id, process_of_row(w));
}

struct proc_serving_task {
	struct proc_serving *list;
	size_t n;
	/* By the child: */
	uint32_t pid;
	size_t done;
	bool yes[RPD_SLOT_MAX];
};

static void proc_still_serve_in_child(void *data)
{
	struct proc_serving_task *task = data;

	for (; task->done < task->n; task->done++) {
		const struct proc_serving *it = &task->list[task->done];

		task->pid = it->worker->pid;
		task->yes[task->done] = !held_child_waits_for(it->worker->pid) &&
		                        proc_still_serves(it->worker, it->inode);
	}
}

/* In a child: a process can keep its epoll descriptor locked for ever. */
void proc_still_serve(struct proc_serving *list, size_t n)
{
	struct proc_serving_task task = {.list = list, .n = n < RPD_SLOT_MAX ? n : RPD_SLOT_MAX};
	const struct held_child_call call = {.run = proc_still_serve_in_child,
	                                     .keep = {-1, -1},
	                                     .max = HELD_SERVE_MAX,
	                                     .pid = &task.pid};
	unsigned int stuck = 0;

	while (task.done < task.n && stuck < STUCK_MAX) {
		if (held_child_run(&call, &task, sizeof(task)) != HELD_CHILD_STUCK)
			break;
		task.done++;
		stuck++;
	}
	for (size_t i = 0; i < n; i++)
		list[i].yes = i < task.n && task.yes[i];
}

int proc_list_first_sockets(uint32_t pid, size_t max,
                            void (*on_socket)(int fd, uint32_t inode, void *data), void *data)
{
	_cleanup_close_ int process = proc_read_open(pid);
	_cleanup_dir_ DIR *fds = process < 0 ? NULL : proc_read_directory(process, "fd");
	uint32_t inode;
	int fd;

	if (!fds)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (max-- && (fd = proc_read_number(fds)) >= 0) {
		inode = proc_read_socket(process, fd);
		if (inode)
			on_socket(fd, inode, data);
	}
	return 0;
}

int proc_list_sockets(uint32_t pid, void (*on_socket)(int fd, uint32_t inode, void *data),
                      void *data)
{
	return proc_list_first_sockets(pid, SIZE_MAX, on_socket, data);
}

int proc_find_netns(uint64_t netns_ino, uint32_t *ret_pid)
{
	_cleanup_dir_ DIR *proc = proc_read_directory(AT_FDCWD, "/proc");
	char path[PROC_PATH_MAX], text[PROC_LINK_MAX];
	int pid;

	if (!proc)
		return -errno;
	while ((pid = proc_read_number(proc)) >= 0) {
		snprintf(path, sizeof(path), "%d/ns/net", pid);
		if (proc_read_link(dirfd(proc), path, text) &&
		    proc_read_inode(text, "net") == netns_ino) {
			*ret_pid = (uint32_t)pid;
			return 0;
		}
	}
	return -ENOENT;
}

static int proc_open_unchecked_pidfd(uint32_t pid)
{
	const long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int proc_open_pidfd(struct process_id id)
{
	_cleanup_close_ int process = -1;
	_cleanup_close_ int pidfd = proc_open_unchecked_pidfd(id.pid);
	struct process now;
	int r;

	if (pidfd < 0)
		return pidfd;
	process = proc_read_open(id.pid);
	if (process < 0)
		return process;
	r = proc_read_identity(process, id.pid, &now);
	if (r < 0)
		return r;
	return process_same(now.id, id) ? TAKE_FD(pidfd) : -ESRCH;
}

bool proc_is_ending(uint32_t pid)
{
	char path[PROC_PATH_MAX], exe[1];

	/* The kernel frees the memory first, and with it the link to the program. Apart from ending
	 * processes only kernel threads have no such link. */
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/exe", pid);
	return readlink(path, exe, sizeof(exe)) < 0 && errno == ENOENT;
}

bool proc_is_blocked(uint32_t pid)
{
	return proc_read_state((pid_t)pid) == 'D';
}

static int proc_explain_duplicate(int code, uint32_t pid, int fd, struct error *err)
{
	switch (code) {
	case -ESRCH:
		return error_set(err, code, "process %" PRIu32 " is gone", pid);
	case -EPERM:
		return error_set(err, code,
		                 "no right to duplicate descriptor %d of process %" PRIu32
		                 ", which needs the right to trace it: run as root, or give "
		                 "reuseportd CAP_SYS_PTRACE",
		                 fd, pid);
	case -EBADF:
		return error_set(err, code,
		                 "descriptor %d of process %" PRIu32
		                 " is no longer the same listener",
		                 fd, pid);
	default:
		return error_set(err, code,
		                 "can't duplicate descriptor %d of process %" PRIu32 ": %s", fd,
		                 pid, strerror(-code));
	}
}

struct proc_duplicate {
	uint32_t pid;
	int socket;
	size_t n;
	struct proc_descriptor wanted[PROC_DUPLICATE_MAX];
	size_t done; /* so many are duplicated */
	int error;
};

/* The process may have put any file there. Only a system call on sockets may look at it: those of
 * files would ask the file's FUSE server. */
static int proc_check_duplicate(int fd, uint32_t inode_expected)
{
	int type;
	socklen_t size = sizeof(type);
	struct stat st;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -EBADF;
	if (fstat(fd, &st) < 0)
		return -errno;
	return !inode_expected || st.st_ino == inode_expected ? 0 : -EBADF;
}

_Static_assert(PROC_DUPLICATE_MAX <= HELD_FDS_MAX, "one message has all");

int proc_take_fd(uint32_t pid, int fd, uint32_t inode_expected)
{
	_cleanup_close_ int pidfd = proc_open_unchecked_pidfd(pid);
	int taken, r;

	if (pidfd < 0)
		return pidfd;
	taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	r = taken < 0 ? -errno : proc_check_duplicate(taken, inode_expected);
	return r < 0 ? r : taken; /* another file stays open: closing it may last for ever */
}

static void proc_duplicate_in_child(void *data)
{
	struct proc_duplicate *it = data;
	int fds[PROC_DUPLICATE_MAX], r = 0;

	for (; r == 0 && it->done < it->n; it->done += r == 0) {
		const struct proc_descriptor *wanted = &it->wanted[it->done];

		fds[it->done] = proc_take_fd(it->pid, wanted->fd, wanted->inode);
		r = fds[it->done] < 0 ? fds[it->done] : 0;
	}
	if (r == 0)
		r = held_fds_send(it->socket, fds, it->n);
	it->error = r;
}

/* A file has to be open here before we can know what it is, and then be closed. Closing a file of
 * FUSE waits for its server, whether it is open elsewhere or not. So a child looks at it first. */
int proc_duplicate_fds(uint32_t pid, const struct proc_descriptor *wanted, size_t n, int *ret,
                       struct error *err)
{
	struct proc_duplicate it = {.pid = pid, .n = n};
	struct held_child_call call = {
	        .run = proc_duplicate_in_child, .keep = {-1, -1}, .max = HELD_MAX};
	_cleanup_close_ int ours = -1;
	enum held_child_result result;
	int r;

	memcpy(it.wanted, wanted, n * sizeof(*wanted));
	result = held_fds_run(&call, &it, sizeof(it), &it.socket, &ours);
	wanted += it.done < n ? it.done : 0;
	if (result == HELD_CHILD_STUCK)
		return error_set(err, -EAGAIN,
		                 "can't duplicate descriptor %d of process %" PRIu32
		                 ": the process keeps a lock of the kernel",
		                 wanted->fd, pid);
	if (result == HELD_CHILD_REFUSED)
		return error_set(err, -EAGAIN,
		                 "can't duplicate descriptor %d of process %" PRIu32
		                 ": no child can be started for it, or earlier ones have got files "
		                 "that can't be closed; end the process that such files are of",
		                 wanted->fd, pid);
	r = it.error < 0 ? it.error : held_fds_receive(TAKE_FD(ours), ret, n);
	return r < 0 ? proc_explain_duplicate(r, pid, wanted->fd, err) : 0;
}

int proc_duplicate_fd(uint32_t pid, int fd, uint32_t inode_expected, struct error *err)
{
	const struct proc_descriptor wanted = {fd, inode_expected};
	const int r = proc_duplicate_fds(pid, &wanted, 1, &fd, err);

	return r < 0 ? r : fd;
}

static void proc_do_not_linger(void *data)
{
	const struct linger off = {};

	setsockopt(*(const int *)data, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
}

/* The option needs the socket's lock, so a child sets it. While a process keeps the lock, it has
 * the socket open, and then closing ours waits for nothing. */
void proc_close_listener(int *fd)
{
	const struct held_child_call call = {
	        .run = proc_do_not_linger, .keep = {*fd, -1}, .max = HELD_MAX};
	int listens = 1;
	socklen_t size = sizeof(listens);

	if (*fd < 0)
		return;
	if (getsockopt(*fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && !listens)
		held_child_run(&call, fd, sizeof(*fd));
	close(*fd);
}

int proc_enter_netns(uint32_t pid, struct error *err)
{
	_cleanup_close_ int pidfd = proc_open_unchecked_pidfd(pid);
	int r = pidfd;

	if (pidfd >= 0)
		r = setns(pidfd, CLONE_NEWNET) < 0 ? -errno : 0;
	if (r == -ESRCH)
		return error_set(err, r, "there is no process %" PRIu32, pid);
	if (r < 0)
		return error_set(err, r,
		                 "can't enter the network namespace of process %" PRIu32 ": %s",
		                 pid, strerror(-r));
	return 0;
}
