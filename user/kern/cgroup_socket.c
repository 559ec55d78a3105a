/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A socket belongs to the cgroup of the process that makes it, for good (cgroup_sk_alloc()). So a
 * child in that cgroup makes it, in a table of descriptors that it shares with us.
 */
#include "kern/cgroup_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Replaces descriptor @target by the socket. Only system calls: another thread of ours may have
 * held a lock of libc. */
static _Noreturn void cgroup_socket_run_child(int target, int family, int type)
{
	const int fd = socket(family, type, 0);
	int error = fd < 0 ? errno : 0;

	if (fd >= 0 && dup3(fd, target, type & SOCK_CLOEXEC ? O_CLOEXEC : 0) < 0)
		error = errno;
	if (fd >= 0)
		close(fd); /* the table is ours, too */
	_exit(error);
}

/* Like fork(), with the table of descriptors in common. Its end is not signalled. */
static long cgroup_socket_clone(int cgroup)
{
	const struct clone_args args = {
	        .flags = CLONE_FILES | CLONE_INTO_CGROUP,
	        .cgroup = (uint64_t)cgroup,
	};

	return syscall(SYS_clone3, &args, sizeof(args));
}

int cgroup_socket(int cgroup, int family, int type)
{
	_cleanup_close_ int target = -1;
	sigset_t all, before;
	int status, error;
	long pid;

	if (cgroup < 0) {
		const int fd = socket(family, type, 0);

		return fd < 0 ? -errno : fd;
	}
	target = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (target < 0)
		return -errno;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = cgroup_socket_clone(cgroup);
	error = errno;
	if (pid == 0)
		cgroup_socket_run_child(target, family, type);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return -error;
	while (waitpid((pid_t)pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECANCELED;
	return TAKE_FD(target);
}
