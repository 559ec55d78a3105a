/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/proc against real processes that serve listeners in different ways. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "core/roster.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"

/* ---- What children do ---- */

static bool serves(const struct rpd_worker *worker, uint32_t inode)
{
	struct proc_serving it = {.worker = worker, .inode = inode};

	proc_still_serve(&it, 1);
	return it.yes;
}

static void *hold_thread(void *unused)
{
	children_hold(-1);
	return NULL;
}

/* The process lives as long as the thread, but /proc no longer shows its memory. */
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

/* Watches the listener while it does other work, and stops to watch on request. */
static void run_epoll_until_stop(int fd)
{
	const int epfd = epoll_on(fd);

	while (!shared->stop)
		sched_yield();
	epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL);
	children_hold(fd);
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

	shared->pids[0] = children_fork(children_hold, fd);
	wait_on(epfd);
}

/* A parent that makes the epoll descriptor, and a child that uses it. */
static void run_for_child(int fd)
{
	const int epfd = epoll_on(fd);

	shared->pids[0] = children_fork(wait_on, epfd);
	children_hold(fd);
}

static void run_named(int fd)
{
	prctl(PR_SET_NAME, "a) Z 1 (b c");
	children_hold(fd);
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

/* ---- The cases ---- */

/* Whether process @pid has our socket @fd open, and how. */
static bool find_holder(uint32_t pid, int fd, struct holder *ret)
{
	const struct listener listener = {.inode = socket_bed_inode(fd)};
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

static void evidence_of_serving(void)
{
	static const struct {
		void (*run)(int);
		enum evidence evidence;
	} kinds[] = {
	        {children_hold, EVIDENCE_HOLDS},
	        {run_accept, EVIDENCE_ACCEPTS},
	        {run_accept_in_thread, EVIDENCE_ACCEPTS},
	        {run_epoll, EVIDENCE_EPOLL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rpd_endpoint e = socket_bed_loopback();
		const int fd = socket_bed_listen(&e, 1);
		const uint32_t pid = children_start(kinds[i].run, fd);
		struct process process;
		struct holder h;

		CHECK_UNTIL(find_holder(pid, fd, &h) && h.evidence == kinds[i].evidence);
		CHECK((h.epfd >= 0) == (h.evidence == EVIDENCE_EPOLL));
		CHECK(h.fd == fd && h.inode == socket_bed_inode(fd) &&
		      h.ppid == (uint32_t)getpid());
		CHECK(proc_identify(pid, &process) == 0 && process_same(process.id, h.id));
		CHECK(process.ppid == h.ppid && strcmp(process.comm, h.comm) == 0);
	}
}

/* nginx: every worker has every listener open and watches one of them. */
static void prefork_server(void)
{
	enum { WORKERS = 4 };
	struct rpd_endpoint e = socket_bed_loopback();
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *rows = NULL;
	struct error err;
	struct holder h;
	uint32_t pids[WORKERS];
	int fds[WORKERS];
	size_t n, n_rows;

	for (size_t i = 0; i < WORKERS; i++)
		fds[i] = socket_bed_listen(&e, 1);
	for (size_t i = 0; i < WORKERS; i++)
		pids[i] = children_start(run_epoll, fds[i]);
	for (size_t i = 0; i < WORKERS; i++)
		CHECK_UNTIL(find_holder(pids[i], fds[i], &h) && h.evidence == EVIDENCE_EPOLL);

	CHECK(sockdiag_list_listeners(e.port, &listeners, &n, &err) == 0);
	CHECK(proc_holders_find(listeners, n, &rows, &n_rows, &err) == 0);
	CHECK(n_rows == WORKERS * WORKERS);
	for (size_t i = 0; i < n_rows; i += WORKERS) {
		const struct holder *owner = roster_find_owner(&rows[i], WORKERS);
		size_t k = 0;

		CHECK(rows[i].inode == rows[i + WORKERS - 1].inode &&
		      rows[i].id.pid < rows[i + WORKERS - 1].id.pid);
		while (k < WORKERS && socket_bed_inode(fds[k]) != owner->inode)
			k++;
		CHECK(k < WORKERS && owner->id.pid == pids[k]);
		CHECK(roster_count_pollers(&rows[i], WORKERS) == 1);
	}
}

static void inherited_epoll_descriptor(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	struct holder parent, child;

	/* The parent waits; its helper only inherited the descriptor. */
	uint32_t pid = children_start(run_with_helper, fd);

	CHECK_UNTIL(shared->pids[0] && find_holder((uint32_t)shared->pids[0], fd, &child) &&
	            child.evidence == EVIDENCE_HOLDS && child.epfd == -1 &&
	            find_holder(pid, fd, &parent) && parent.evidence == EVIDENCE_EPOLL);
	children_end();

	/* The parent made the descriptor; its child waits. */
	pid = children_start(run_for_child, fd);
	CHECK_UNTIL(find_holder(pid, fd, &parent) && shared->pids[0] &&
	            find_holder((uint32_t)shared->pids[0], fd, &child) &&
	            child.evidence == EVIDENCE_EPOLL && parent.evidence == EVIDENCE_HOLDS);
}

/* Only the named processes are searched, whether they have the listener open, have not, or are
 * gone. */
static void only_the_named_processes(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	const struct listener listener = {.inode = socket_bed_inode(fd)};
	const uint32_t serves = children_start(run_epoll, fd),
	               other = children_start(children_hold, fd);
	const uint32_t gone = children_start(run_nothing, -1);
	const uint32_t these[] = {gone, serves};
	_cleanup_free_ struct holder *rows = NULL;
	_cleanup_free_ struct holder *none = NULL;
	struct error err;
	struct holder h;
	size_t n;

	CHECK_UNTIL(find_holder(serves, fd, &h) && h.evidence == EVIDENCE_EPOLL);
	CHECK(find_holder(other, fd, &h));
	CHECK(waitpid((pid_t)gone, NULL, 0) == (pid_t)gone);
	CHECK(proc_holders_find_among(these, 2, &listener, 1, &rows, &n, &err) == 0);
	CHECK(n == 1 && rows[0].id.pid == serves && rows[0].evidence == EVIDENCE_EPOLL);
	CHECK(proc_holders_find_among(these, 1, &listener, 1, &none, &n, &err) == 0);
	CHECK(n == 0 && !none);
}

static void watched_duplicate(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	const uint32_t pid = children_start(run_epoll_duplicate, fd);
	struct rpd_worker w = {.pid = pid};
	struct holder h;

	CHECK_UNTIL(find_holder(pid, fd, &h) && h.evidence == EVIDENCE_EPOLL);
	CHECK(h.fd == shared->fd && h.fd != fd);
	w.start_time = h.id.start_time;
	w.fd = h.fd;
	w.epfd = h.epfd;
	CHECK(serves(&w, socket_bed_inode(fd)));
}

static void odd_process_name(void)
{
	const uint32_t pid = children_start(run_named, -1);
	struct process process = {};

	CHECK_UNTIL(proc_identify(pid, &process) == 0 && strcmp(process.comm, "a) Z 1 (b c") == 0);
	CHECK(process.id.pid == pid && process.id.start_time > 0);
	CHECK(process.ppid == (uint32_t)getpid());
}

static void processes_vanish_meanwhile(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	const uint32_t pid = children_start(children_hold, fd);
	struct holder h;

	children_start(run_short_lives, fd);
	children_start(run_short_lives, fd);
	CHECK_UNTIL(shared->pids[0]);
	for (int i = 0; i < 6; i++)
		CHECK(find_holder(pid, fd, &h));
}

static void process_is_gone(void)
{
	const uint32_t pid = children_start(run_nothing, -1);
	const uint32_t alive = children_start(children_hold, -1);
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

	/* A pid that another process has by now. */
	CHECK(proc_identify(alive, &process) == 0);
	process.id.start_time++;
	CHECK(proc_open_pidfd(process.id) == -ESRCH);
	process.id.start_time--;
	pidfd = proc_open_pidfd(process.id);
	CHECK(pidfd >= 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
}

static void still_serves(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1), other = socket_bed_listen(&e, 1);
	const uint32_t pid = children_start(run_epoll_until_stop, fd);
	const uint32_t inode = socket_bed_inode(fd);
	struct rpd_worker w = {.pid = pid};
	struct rpd_worker wrong;
	struct holder h;

	CHECK_UNTIL(find_holder(pid, fd, &h) && h.evidence == EVIDENCE_EPOLL);
	w.start_time = h.id.start_time;
	w.fd = h.fd;
	w.epfd = h.epfd;
	CHECK(serves(&w, inode));
	CHECK(!serves(&w, socket_bed_inode(other)));
	wrong = w;
	wrong.start_time++;
	CHECK(!serves(&wrong, inode));
	wrong = w;
	wrong.fd = other; /* open there, but not watched */
	CHECK(!serves(&wrong, socket_bed_inode(other)));
	wrong.epfd = -1;
	CHECK(serves(&wrong, socket_bed_inode(other)));
	wrong.epfd = fd; /* no epoll descriptor */
	CHECK(!serves(&wrong, socket_bed_inode(other)));

	shared->stop = true;
	CHECK_UNTIL(!serves(&w, inode));
	w.epfd = -1;
	CHECK(serves(&w, inode));
	CHECK(kill((pid_t)pid, SIGKILL) == 0);
	CHECK_UNTIL(!serves(&w, inode));
}

static void process_is_ending(void)
{
	const uint32_t living = children_start(children_hold, -1);
	const uint32_t ending = children_start(run_end_but_for_a_thread, -1);

	CHECK(!proc_is_ending(living));
	CHECK(!proc_is_ending(getpid()));
	CHECK_UNTIL(proc_is_ending(ending));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(evidence_of_serving),
	        CHECK_CASE(prefork_server),
	        CHECK_CASE(inherited_epoll_descriptor),
	        CHECK_CASE(only_the_named_processes),
	        CHECK_CASE(watched_duplicate),
	        CHECK_CASE(odd_process_name),
	        CHECK_CASE(processes_vanish_meanwhile),
	        CHECK_CASE(process_is_gone),
	        CHECK_CASE(still_serves),
	        CHECK_CASE(process_is_ending),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
