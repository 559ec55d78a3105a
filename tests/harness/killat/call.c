/* SPDX-License-Identifier: BSD-2-Clause */
#include "call.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof(*(array)))
#define NUMBER_MAX        1024 /* all numbers of system calls are lower */

/* System calls that reuseportd and a C library make. Other calls are printed by number. */
/* clang-format off */
#define CALL(name) [SYS_##name] = #name
static const char *const call_names[] = {
	CALL(accept4), CALL(bind), CALL(bpf), CALL(brk), CALL(chdir), CALL(clock_gettime),
	CALL(clock_nanosleep), CALL(clone), CALL(clone3), CALL(close), CALL(connect), CALL(dup),
	CALL(dup3), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_pwait2), CALL(eventfd2),
	CALL(execve), CALL(exit), CALL(exit_group), CALL(fchmod), CALL(fchmodat), CALL(fchown),
	CALL(fcntl), CALL(flock), CALL(fsync), CALL(ftruncate), CALL(futex), CALL(getdents64),
	CALL(getpid), CALL(getrandom), CALL(getsockname), CALL(getsockopt), CALL(ioctl),
	CALL(kill), CALL(linkat), CALL(listen), CALL(lseek), CALL(mkdirat), CALL(mmap),
	CALL(mount), CALL(mprotect), CALL(munmap), CALL(newfstatat), CALL(openat),
	CALL(pidfd_getfd), CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pipe2), CALL(ppoll),
	CALL(prctl), CALL(pread64), CALL(prlimit64), CALL(pwrite64), CALL(read), CALL(readlinkat),
	CALL(recvfrom), CALL(recvmsg), CALL(renameat2), CALL(rt_sigaction), CALL(rt_sigprocmask),
	CALL(sendmsg), CALL(sendto), CALL(setns), CALL(setsockopt), CALL(shutdown),
	CALL(signalfd4), CALL(socket), CALL(socketpair), CALL(statfs), CALL(statx),
	CALL(timerfd_create), CALL(timerfd_settime), CALL(umask), CALL(uname), CALL(unlinkat),
	CALL(wait4), CALL(waitid), CALL(write), CALL(writev), CALL(faccessat), CALL(getegid),
	CALL(geteuid), CALL(getgid), CALL(getppid), CALL(getuid), CALL(gettid), CALL(rseq),
	CALL(capget), CALL(kcmp),
	CALL(rt_sigreturn), CALL(sched_getaffinity), CALL(set_robust_list), CALL(set_tid_address),
	CALL(setsid), CALL(sigaltstack), CALL(tgkill), CALL(inotify_add_watch),
	CALL(inotify_init1), CALL(getcwd), CALL(fstat), CALL(madvise), CALL(mremap),
	CALL(faccessat2), CALL(fgetxattr), CALL(fsetxattr), CALL(inotify_rm_watch),
#ifdef SYS_open /* newer architectures lack these calls */
	CALL(chmod), CALL(dup2), CALL(epoll_wait), CALL(link), CALL(mkdir), CALL(open),
	CALL(poll), CALL(readlink), CALL(rename), CALL(rmdir), CALL(unlink), CALL(vfork),
	CALL(access), CALL(arch_prctl), CALL(stat), CALL(lstat),
#endif
};

#define COMMAND(name) [BPF_##name] = #name
static const char *const bpf_names[] = {
	COMMAND(MAP_CREATE), COMMAND(MAP_LOOKUP_ELEM), COMMAND(MAP_UPDATE_ELEM),
	COMMAND(MAP_DELETE_ELEM), COMMAND(MAP_GET_NEXT_KEY), COMMAND(PROG_LOAD), COMMAND(OBJ_PIN),
	COMMAND(OBJ_GET), COMMAND(PROG_ATTACH), COMMAND(PROG_DETACH), COMMAND(PROG_TEST_RUN),
	COMMAND(PROG_GET_NEXT_ID), COMMAND(MAP_GET_NEXT_ID), COMMAND(PROG_GET_FD_BY_ID),
	COMMAND(MAP_GET_FD_BY_ID), COMMAND(OBJ_GET_INFO_BY_FD), COMMAND(PROG_QUERY),
	COMMAND(BTF_LOAD), COMMAND(BTF_GET_FD_BY_ID), COMMAND(MAP_FREEZE),
	COMMAND(MAP_LOOKUP_BATCH), COMMAND(MAP_UPDATE_BATCH), COMMAND(MAP_DELETE_BATCH),
	COMMAND(LINK_CREATE), COMMAND(LINK_UPDATE), COMMAND(LINK_DETACH), COMMAND(LINK_GET_FD_BY_ID),
	COMMAND(LINK_GET_NEXT_ID), COMMAND(ITER_CREATE), COMMAND(PROG_BIND_MAP),
};
/* clang-format on */

_Static_assert(NUMBER_MAX + ARRAY_SIZE(bpf_names) <= CALL_KIND_MAX, "room for all kinds");

unsigned int call_kind(uint64_t number, uint64_t argument)
{
	if (number == SYS_bpf && argument < ARRAY_SIZE(bpf_names) && bpf_names[argument])
		return NUMBER_MAX + (unsigned int)argument;
	return number % NUMBER_MAX;
}

void call_format(unsigned int kind, char *buf, size_t size)
{
	if (kind >= NUMBER_MAX)
		snprintf(buf, size, "bpf:%s", bpf_names[kind - NUMBER_MAX]);
	else if (kind < ARRAY_SIZE(call_names) && call_names[kind])
		snprintf(buf, size, "%s", call_names[kind]);
	else
		snprintf(buf, size, "%u", kind);
}
