/* SPDX-License-Identifier: BSD-2-Clause */
#include "call.h"

#include <stddef.h>
#include <sys/syscall.h>

/* System calls that reuseportd and a C library make; others are reported by their number. */
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
#ifdef SYS_open /* newer architectures have none of these */
	CALL(chmod), CALL(dup2), CALL(epoll_wait), CALL(link), CALL(mkdir), CALL(open),
	CALL(poll), CALL(readlink), CALL(rename), CALL(rmdir), CALL(unlink), CALL(vfork),
	CALL(access), CALL(arch_prctl), CALL(stat), CALL(lstat),
#endif
};
/* clang-format on */

const char *call_name(uint64_t number)
{
	return number < sizeof(call_names) / sizeof(*call_names) ? call_names[number] : NULL;
}
