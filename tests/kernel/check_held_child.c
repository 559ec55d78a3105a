/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/held_child and kern/proc_holders: a process that keeps a lock of the kernel for a while.
 * Needs root. */
#include "kern/held_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "kern/proc_holders.h"

#define PAGE 4096

/* ---- What children do ---- */

/* What the process keeps its epoll descriptor locked with: a page that a system call of it waits
 * for. */
struct keeper {
	int epfd, faults;
	void *page;
};

static void *keep_lock(void *data)
{
	const struct keeper *it = data;

	epoll_wait(it->epfd, it->page, 1, -1);
	return NULL;
}

static bool keeper_open(struct keeper *it, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	it->epfd = epoll_create1(0);
	it->faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	it->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range = (struct uffdio_range){.start = (uintptr_t)it->page, .len = PAGE};
	return it->faults >= 0 && it->page != MAP_FAILED &&
	       ioctl(it->faults, UFFDIO_API, &api) == 0 &&
	       ioctl(it->faults, UFFDIO_REGISTER, &range) == 0 &&
	       epoll_ctl(it->epfd, EPOLL_CTL_ADD, fd, &event) == 0 &&
	       epoll_ctl(it->epfd, EPOLL_CTL_ADD, eventfd(1, 0), &event) == 0;
}

/* Keeps the lock, says so in shared->fd, and gives it back when shared->stop is set; again and
 * again. */
static void run_keep_lock(int fd)
{
	struct keeper it;

	if (!keeper_open(&it, fd)) {
		shared->error = 1;
		return;
	}
	for (;;) {
		struct uffdio_zeropage zero = {.range = {(uintptr_t)it.page, PAGE}};
		struct uffd_msg fault;
		pthread_t thread;

		pthread_create(&thread, NULL, keep_lock, &it);
		if (read(it.faults, &fault, sizeof(fault)) < 0)
			return;
		shared->fd = 1;
		while (!shared->stop)
			usleep(1000);
		ioctl(it.faults, UFFDIO_ZEROPAGE, &zero);
		pthread_join(thread, NULL);
		madvise(it.page, PAGE, MADV_DONTNEED);
		shared->fd = 0;
		while (shared->stop)
			usleep(1000);
	}
}

/* Goes on, and sleeps most of the time, for longer than a child may sleep. */
static void sleep_now_and_then(void *data)
{
	int *left = data;

	for (; *left; --*left)
		usleep(400000);
}

/* ---- The cases ---- */

static int find(uint32_t pid, int fd)
{
	const struct listener listener = {.inode = socket_bed_inode(fd)};
	_cleanup_free_ struct holder *rows = NULL;
	struct error err;
	size_t n = 0;
	const int r = proc_holders_find_among(&pid, 1, &listener, 1, &rows, &n, &err);

	return r < 0 ? r : (int)n;
}

static uint32_t start_keeper(int fd)
{
	const uint32_t pid = children_start(run_keep_lock, fd);

	CHECK_UNTIL(shared->fd || shared->error);
	if (shared->error)
		check_skip("the kernel has no userfaultfd");
	return pid;
}

/* A process that has given the lock back is examined again, without any other search between. */
static void lock_that_is_given_back(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	const uint32_t pid = start_keeper(fd);

	CHECK_EQ(find(pid, fd), -EBUSY);
	CHECK_EQ(find(pid, fd), -EBUSY);
	shared->stop = true;
	CHECK_UNTIL(!shared->fd);
	CHECK_UNTIL(find(pid, fd) == 1);
}

/* As long as it goes on, a long call has all the time it needs; any other one has not. */
static void call_that_goes_on(void)
{
	struct held_child_call call = {
	        .run = sleep_now_and_then, .keep = {-1, -1}, .max = 8, .is_long = true};
	int left = 30;

	CHECK_EQ(held_child_run(&call, &left, sizeof(left)), HELD_CHILD_DONE);
	CHECK_EQ(left, 0);
	call.is_long = false;
	left = 200; /* on a busy machine some are not noticed */
	CHECK_EQ(held_child_run(&call, &left, sizeof(left)), HELD_CHILD_STUCK);
}

static int64_t find_stuck_ms(uint32_t pid, int fd)
{
	const int64_t begin = deadline_clock_ms();

	CHECK_EQ(find(pid, fd), -EBUSY);
	return deadline_clock_ms() - begin;
}

/* A process that keeps the lock for longer than anyone waits, again and again: soon it is waited
 * for much shorter. */
static void lock_that_is_kept_again(void)
{
	struct rpd_endpoint e = socket_bed_loopback();
	const int fd = socket_bed_listen(&e, 1);
	const uint32_t pid = start_keeper(fd);
	const int64_t first = find_stuck_ms(pid, fd);
	int64_t shortest = first;

	for (int i = 0; i < 4; i++) {
		int64_t next;

		shared->stop = true;
		CHECK_UNTIL(!shared->fd);
		CHECK_UNTIL(find(pid, fd) == 1); /* the earlier child has ended */
		shared->stop = false;
		CHECK_UNTIL(shared->fd);
		next = find_stuck_ms(pid, fd);
		shortest = next < shortest ? next : shortest;
	}
	CHECK_MSG(shortest < first / 2, "%ld ms, at first %ld ms", shortest, first);
}

static void be_killed(void *data)
{
	kill(getpid(), SIGKILL);
}

/* By the kernel, for want of memory: what it has not written is not taken for its answer. */
static void child_that_is_killed(void)
{
	const struct held_child_call call = {.run = be_killed, .keep = {-1, -1}, .max = 1};
	int answer = 0;

	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(held_child_run(&call, &answer, sizeof(answer)), HELD_CHILD_REFUSED);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(call_that_goes_on),
	        CHECK_CASE(child_that_is_killed),
	        CHECK_CASE(lock_that_is_given_back),
	        CHECK_CASE(lock_that_is_kept_again),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
