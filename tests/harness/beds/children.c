/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/children.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 16

struct children_shared *shared;

static pid_t children[CHILDREN_MAX];
static size_t n_children;

void *children_map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/* Before the first case and the first child. */
__attribute__((constructor)) static void children_begin(void)
{
	shared = children_map(sizeof(*shared));
}

pid_t children_fork(void (*run)(int arg), int arg)
{
	const pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(arg);
		_exit(0);
	}
	check_at_end(children_end);
	return pid;
}

uint32_t children_start(void (*run)(int arg), int arg)
{
	CHECK(n_children < CHILDREN_MAX);
	children[n_children] = children_fork(run, arg);
	return (uint32_t)children[n_children++];
}

void children_hold(int unused)
{
	for (;;)
		pause();
}

void children_wait(size_t i)
{
	CHECK(i < n_children && waitpid(children[i], NULL, 0) == children[i]);
}

void children_kill(pid_t pid)
{
	for (size_t i = 0; i < n_children; i++)
		if (children[i] == pid)
			children[i] = children[--n_children];
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void children_end(void)
{
	while (n_children > 0)
		children_kill(children[n_children - 1]);
	memset(shared, 0, sizeof(*shared));
}

bool children_exit_well(pid_t pid)
{
	int status = -1;

	return check_until(waitpid(pid, &status, WNOHANG) != 0) && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}
