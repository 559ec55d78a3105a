/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/held_child.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL_MAX     128
#define PATIENCE_MS 5 /* for the end of a child */
#define STACK_SIZE  65536

struct held_child_task {
	int keep;
	void (*run)(void *data);
	void *data;
};

static int held_child_pidfds[ALL_MAX]; /* of children that have not ended yet */
static size_t held_child_n;

/* Other descriptors of ours must not stay open in a child that can't end: a listener would go on to
 * get connections. Closing them is quick, as we have them open, too. */
static int held_child_main(void *data)
{
	const struct held_child_task *task = data;

	if (task->keep > 0)
		close_range(0, (unsigned int)task->keep - 1, 0);
	close_range((unsigned int)task->keep + 1, UINT32_MAX, 0);
	task->run(task->data);
	return 0;
}

static void held_child_reap(void)
{
	size_t left = 0;

	for (size_t i = 0; i < held_child_n; i++) {
		siginfo_t info = {};
		const int child = held_child_pidfds[i];

		if (waitid(P_PIDFD, (id_t)child, &info, WEXITED | WNOHANG | __WALL) == 0 &&
		    !info.si_pid)
			held_child_pidfds[left++] = child;
		else
			close(child);
	}
	held_child_n = left;
}

/* Like vfork(). The child's end is not signalled. The kernel frees a process's memory before its
 * descriptors. */
bool held_child_run(int keep, void (*run)(void *data), void *data, size_t max)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	struct held_child_task task = {keep, run, data};
	struct pollfd child = {.fd = -1, .events = POLLIN};
	sigset_t all, before;
	int pid;

	held_child_reap();
	if (held_child_n >= (max < ALL_MAX ? max : ALL_MAX))
		return false;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = clone(held_child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
	            &task, &child.fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return false;
	held_child_pidfds[held_child_n++] = child.fd;
	poll(&child, 1, PATIENCE_MS);
	held_child_reap();
	return true;
}
