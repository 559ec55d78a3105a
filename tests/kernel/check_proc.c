/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/proc against real processes that serve listeners in different ways. Needs root. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "check_discovery.h"
#include "core/roster.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/proc_holders.h"

/* --- what children do --- */

static void run_hold(int fd)
{
	for (;;)
		pause();
}

static void *hold_thread(void *unused)
{
	run_hold(-1);
	return NULL;
}

/* The process lives as long as the thread does, but has no memory that /proc shows any more. */
static void run_end_but_for_a_thread(int fd)
{
	pthread_t thread;

	pthread_create(&thread, NULL, hold_thread, NULL);
	pthread_exit(NULL);
}

static void run_accept(int fd)
{
	for (;;)
		accept(fd, NULL, NULL);
}

static void *accept_thread(void *fd)
{
	run_accept(*(int *)fd);
	return NULL;
}

static void run_accept_in_thread(int fd)
{
	pthread_t thread;

	pthread_create(&thread, NULL, accept_thread, &fd);
	pthread_join(thread, NULL);
}

static int epoll_on(int fd)
{
	const int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
	return epfd;
}

static void wait_on(int epfd)
{
	struct epoll_event event;

	for (;;)
		epoll_wait(epfd, &event, 1, -1);
}

static void run_epoll(int fd)
{
	wait_on(epoll_on(fd));
}

/* Watches, does other work, and on command watches no more. */
static void run_epoll_until_stop(int fd)
{
	const int epfd = epoll_on(fd);

	while (!shared->stop)
		sched_yield();
	epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL);
	run_hold(fd);
}

/* Watches by a duplicate that is not its lowest descriptor for the listener. */
static void run_epoll_duplicate(int fd)
{
	const int watched = dup(fd);

	shared->fd = watched;
	run_epoll(watched);
}

/* A worker with a helper that inherits everything. */
static void run_with_helper(int fd)
{
	const int epfd = epoll_on(fd);

	shared->pids[0] = child_fork(run_hold, fd);
	wait_on(epfd);
}

/* A parent that makes the epoll descriptor, and a child that uses it. */
static void run_for_child(int fd)
{
	const int epfd = epoll_on(fd);

	shared->pids[0] = child_fork(wait_on, epfd);
	run_hold(fd);
}

static void run_named(int fd)
{
	prctl(PR_SET_NAME, "a) Z 1 (b c");
	run_hold(fd);
}

/* Processes that have the listener open for a moment. */
static void run_short_lives(int fd)
{
	for (;;) {
		const pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		shared->pids[0] = pid;
		waitpid(pid, NULL, 0);
	}
}

static void run_nothing(int fd)
{
}

/* --- cases --- */

/* Whether process @pid has socket @fd of ours open, and how. */
static bool find_holder(uint32_t pid, int fd, struct holder *ret)
{
	const struct listener listener = {.inode = inode_of(fd)};
	_cleanup_free_ struct holder *rows = NULL;
	struct error err;
	size_t n = 0;

	if (proc_holders_find(&listener, 1, &rows, &n, &err) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (rows[i].id.pid == pid) {
			*ret = rows[i];
			return true;
		}
	return false;
}

static void case_evidence(void)
{
	static const struct {
		void (*run)(int);
		enum evidence evidence;
	} kinds[] = {
	        {run_hold, EVIDENCE_HOLDS},
	        {run_accept, EVIDENCE_ACCEPTS},
	        {run_accept_in_thread, EVIDENCE_ACCEPTS},
	        {run_epoll, EVIDENCE_EPOLL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rpd_endpoint e = loopback();
		const int fd = listener_open(&e, 1);
		const uint32_t pid = child_start(kinds[i].run, fd);
		struct process process;
		struct holder h;

		CHECK_COMES(find_holder(pid, fd, &h) && h.evidence == kinds[i].evidence);
		CHECK((h.epfd >= 0) == (h.evidence == EVIDENCE_EPOLL));
		CHECK(h.fd == fd && h.inode == inode_of(fd) && h.ppid == (uint32_t)getpid());
		CHECK(proc_identify(pid, &process) == 0 && process_same(process.id, h.id));
		CHECK(process.ppid == h.ppid && strcmp(process.comm, h.comm) == 0);
	}
}

/* nginx: every worker has every listener open and watches one of them. */
static void case_prefork(void)
{
	enum { WORKERS = 4 };
	struct rpd_endpoint e = loopback();
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *rows = NULL;
	struct error err;
	struct holder h;
	uint32_t pids[WORKERS];
	int fds[WORKERS];
	size_t n, n_rows;

	for (size_t i = 0; i < WORKERS; i++)
		fds[i] = listener_open(&e, 1);
	for (size_t i = 0; i < WORKERS; i++)
		pids[i] = child_start(run_epoll, fds[i]);
	for (size_t i = 0; i < WORKERS; i++)
		CHECK_COMES(find_holder(pids[i], fds[i], &h) && h.evidence == EVIDENCE_EPOLL);

	CHECK(sockdiag_list_listeners(e.port, &listeners, &n, &err) == 0);
	CHECK(proc_holders_find(listeners, n, &rows, &n_rows, &err) == 0);
	CHECK(n_rows == WORKERS * WORKERS);
	for (size_t i = 0; i < n_rows; i += WORKERS) {
		const struct holder *owner = roster_find_owner(&rows[i], WORKERS);
		size_t k = 0;

		CHECK(rows[i].inode == rows[i + WORKERS - 1].inode &&
		      rows[i].id.pid < rows[i + WORKERS - 1].id.pid);
		while (k < WORKERS && inode_of(fds[k]) != owner->inode)
			k++;
		CHECK(k < WORKERS && owner->id.pid == pids[k]);
		CHECK(roster_count_pollers(&rows[i], WORKERS) == 1);
	}
}

static void case_inherited_epoll(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	struct holder parent, child;

	/* The parent waits, its helper has but inherited. */
	uint32_t pid = child_start(run_with_helper, fd);

	CHECK_COMES(shared->pids[0] && find_holder((uint32_t)shared->pids[0], fd, &child) &&
	            child.evidence == EVIDENCE_HOLDS && child.epfd == -1);
	CHECK(find_holder(pid, fd, &parent) && parent.evidence == EVIDENCE_EPOLL);
	children_end();

	/* The parent made it, its child waits. */
	pid = child_start(run_for_child, fd);
	CHECK_COMES(find_holder(pid, fd, &parent) && shared->pids[0] &&
	            find_holder((uint32_t)shared->pids[0], fd, &child) &&
	            child.evidence == EVIDENCE_EPOLL && parent.evidence == EVIDENCE_HOLDS);
}

/* Only those that are asked for, be they holders, or gone, or not. */
static void case_among(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	const struct listener listener = {.inode = inode_of(fd)};
	const uint32_t serves = child_start(run_epoll, fd), other = child_start(run_hold, fd);
	const uint32_t gone = child_start(run_nothing, -1);
	const uint32_t these[] = {gone, serves};
	_cleanup_free_ struct holder *rows = NULL;
	_cleanup_free_ struct holder *none = NULL;
	struct error err;
	struct holder h;
	size_t n;

	CHECK_COMES(find_holder(serves, fd, &h) && h.evidence == EVIDENCE_EPOLL);
	CHECK(find_holder(other, fd, &h));
	CHECK(waitpid((pid_t)gone, NULL, 0) == (pid_t)gone);
	CHECK(proc_holders_find_among(these, 2, &listener, 1, &rows, &n, &err) == 0);
	CHECK(n == 1 && rows[0].id.pid == serves && rows[0].evidence == EVIDENCE_EPOLL);
	CHECK(proc_holders_find_among(these, 1, &listener, 1, &none, &n, &err) == 0);
	CHECK(n == 0 && !none);
}

static void case_watched_duplicate(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	const uint32_t pid = child_start(run_epoll_duplicate, fd);
	struct rpd_worker w = {.pid = pid};
	struct holder h;

	CHECK_COMES(find_holder(pid, fd, &h) && h.evidence == EVIDENCE_EPOLL);
	CHECK(h.fd == shared->fd && h.fd != fd);
	w.start_time = h.id.start_time;
	w.fd = h.fd;
	w.epfd = h.epfd;
	CHECK(proc_still_serves(&w, inode_of(fd)));
}

static void case_odd_name(void)
{
	const uint32_t pid = child_start(run_named, -1);
	struct process process = {};

	CHECK_COMES(proc_identify(pid, &process) == 0 && strcmp(process.comm, "a) Z 1 (b c") == 0);
	CHECK(process.id.pid == pid && process.id.start_time > 0);
	CHECK(process.ppid == (uint32_t)getpid());
}

static void case_vanish(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	const uint32_t pid = child_start(run_hold, fd);
	struct holder h;

	child_start(run_short_lives, fd);
	child_start(run_short_lives, fd);
	CHECK_COMES(shared->pids[0]);
	for (int i = 0; i < 300; i++)
		CHECK(find_holder(pid, fd, &h));
}

static void case_gone(void)
{
	const uint32_t pid = child_start(run_nothing, -1);
	const uint32_t alive = child_start(run_hold, -1);
	_cleanup_close_ int pidfd = -1;
	struct process process;
	struct error err;
	siginfo_t info;

	/* A zombie, and then nothing. */
	CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(proc_identify(pid, &process) == -ESRCH);
	CHECK(proc_open_pidfd((struct process_id){pid, 0}) == -ESRCH);
	CHECK(proc_enter_netns(pid, &err) == -ESRCH);
	CHECK(waitpid((pid_t)pid, NULL, 0) == (pid_t)pid);
	CHECK(proc_identify(pid, &process) == -ESRCH);
	CHECK(proc_open_pidfd((struct process_id){pid, 0}) == -ESRCH);
	CHECK(proc_enter_netns(pid, &err) == -ESRCH && strstr(err.text, "no process"));
	CHECK(proc_duplicate_fd(pid, 0, 0, &err) == -ESRCH && strstr(err.text, "gone"));

	/* A number that another process has by now. */
	CHECK(proc_identify(alive, &process) == 0);
	process.id.start_time++;
	CHECK(proc_open_pidfd(process.id) == -ESRCH);
	process.id.start_time--;
	pidfd = proc_open_pidfd(process.id);
	CHECK(pidfd >= 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
}

static void case_still_serves(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1), other = listener_open(&e, 1);
	const uint32_t pid = child_start(run_epoll_until_stop, fd);
	const uint32_t inode = inode_of(fd);
	struct rpd_worker w = {.pid = pid};
	struct rpd_worker wrong;
	struct holder h;

	CHECK_COMES(find_holder(pid, fd, &h) && h.evidence == EVIDENCE_EPOLL);
	w.start_time = h.id.start_time;
	w.fd = h.fd;
	w.epfd = h.epfd;
	CHECK(proc_still_serves(&w, inode));
	CHECK(!proc_still_serves(&w, inode_of(other)));
	wrong = w;
	wrong.start_time++;
	CHECK(!proc_still_serves(&wrong, inode));
	wrong = w;
	wrong.fd = other; /* open there, but not watched */
	CHECK(!proc_still_serves(&wrong, inode_of(other)));
	wrong.epfd = -1;
	CHECK(proc_still_serves(&wrong, inode_of(other)));
	wrong.epfd = fd; /* no epoll descriptor */
	CHECK(!proc_still_serves(&wrong, inode_of(other)));

	shared->stop = true;
	CHECK_COMES(!proc_still_serves(&w, inode));
	w.epfd = -1;
	CHECK(proc_still_serves(&w, inode));
	CHECK(kill((pid_t)pid, SIGKILL) == 0);
	CHECK_COMES(!proc_still_serves(&w, inode));
}

static void case_borrow(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	const uint32_t pid = child_start(run_hold, fd);
	_cleanup_close_ int dup_fd = -1;
	_cleanup_close_ int any_fd = -1;
	uint64_t cookie, dup_cookie;
	struct error err;
	char name[16];

	dup_fd = proc_duplicate_fd(pid, fd, inode_of(fd), &err);
	CHECK(dup_fd >= 0 && fcntl(dup_fd, F_GETFD) == FD_CLOEXEC);
	CHECK(sockdiag_socket_cookie(fd, &cookie) == 0 &&
	      sockdiag_socket_cookie(dup_fd, &dup_cookie) == 0);
	CHECK(cookie == dup_cookie);
	any_fd = proc_duplicate_fd(pid, fd, 0, &err);
	CHECK(any_fd >= 0);

	snprintf(name, sizeof(name), "%u", pid);
	CHECK(proc_duplicate_fd(pid, fd, inode_of(fd) + 1, &err) == -EBADF &&
	      strstr(err.text, name));
	CHECK(proc_duplicate_fd(pid, 9999, 0, &err) == -EBADF && strstr(err.text, "9999"));
}

/* Somebody who may not trace root's processes. */
static void run_borrow_without_right(int fd)
{
	struct error err;

	if (setuid(65534) < 0)
		return;
	shared->error = proc_duplicate_fd((uint32_t)shared->pids[0], fd, 0, &err);
	memcpy(shared->text, err.text, sizeof(err.text));
}

static void case_borrow_without_right(void)
{
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	char name[16];

	shared->pids[0] = (pid_t)child_start(run_hold, fd);
	snprintf(name, sizeof(name), "%d", shared->pids[0]);
	child_start(run_borrow_without_right, fd);
	CHECK_COMES(shared->text[0]);
	CHECK(shared->error == -EPERM);
	CHECK(strstr(shared->text, "CAP_SYS_PTRACE") && strstr(shared->text, name));
}

/* Listens in a network namespace of its own. */
static void run_elsewhere(int fd)
{
	struct rpd_endpoint e = {.family = AF_INET};

	if (unshare(CLONE_NEWNET) < 0)
		return;
	shared->fd = listener_open(&e, 1);
	run_hold(fd);
}

static void case_netns(void)
{
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct rpd_endpoint e = loopback();
	const int fd = listener_open(&e, 1);
	_cleanup_free_ struct listener *rows = NULL;
	_cleanup_close_ int dup_fd = -1;
	uint64_t here, there;
	uint32_t pid, found;
	struct error err;
	char path[64];
	struct stat st;
	size_t n = 0;

	pid = child_start(run_elsewhere, -1);
	CHECK_COMES(shared->fd > 0);
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	CHECK(stat(path, &st) == 0);
	CHECK(proc_find_netns(st.st_ino, &found) == 0 && found == pid);
	CHECK(proc_find_netns(1, &found) == -ENOENT);

	dup_fd = proc_duplicate_fd(pid, shared->fd, 0, &err);
	CHECK(dup_fd >= 0);
	CHECK(sockdiag_netns_cookie(fd, &here) == 0);
	CHECK(sockdiag_netns_cookie(dup_fd, &there) == 0 && here != there);

	CHECK(proc_enter_netns(pid, &err) == 0);
	n = sockdiag_list_listeners(0, &rows, &n, &err) == 0 ? n : 0;
	CHECK(setns(home, CLONE_NEWNET) == 0);
	CHECK(n == 1 && rows[0].inode == inode_of(dup_fd));
}

static void case_ending(void)
{
	const uint32_t living = child_start(run_hold, -1);
	const uint32_t ending = child_start(run_end_but_for_a_thread, -1);

	CHECK(!proc_is_ending(living));
	CHECK(!proc_is_ending(getpid()));
	CHECK_COMES(proc_is_ending(ending));
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"evidence", case_evidence},
	        {"prefork", case_prefork},
	        {"inherited epoll", case_inherited_epoll},
	        {"among", case_among},
	        {"watched duplicate", case_watched_duplicate},
	        {"odd name", case_odd_name},
	        {"vanish", case_vanish},
	        {"gone", case_gone},
	        {"still serves", case_still_serves},
	        {"borrow", case_borrow},
	        {"borrow without right", case_borrow_without_right},
	        {"netns", case_netns},
	        {"ending", case_ending},
	};

	return check_run(cases, ARRAY_SIZE(cases));
}
