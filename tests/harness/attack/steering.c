/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker that puts another program in place of the steering program of its reuseport group, or
 * leaves the group, and serves.
 *
 * attack steering WAY WHEN [PORT]
 *   WAY   cbpf: a classic program that selects the first member; ebpf: an eBPF program that does;
 *         detach: none; compat: detach by a system call of 32-bit programs; off: turns
 *         SO_REUSEPORT off; compat_off: by such a system call; lock: SO_LOCK_FILTER;
 *         device: binds the socket to lo; again: stops listening, and listens again;
 *         hide: leaves the listener open in no process; hidden: off, cbpf and hide
 *   WHEN  unbound, bound: the state of the socket; usr1: the socket listens, at each SIGUSR1
 *   PORT  without it the listener is the first one of LISTEN_FDS
 *
 * It prints "WAY: RESULT" after each attempt, and "ready PID" when it serves. A descriptor that is
 * sent to a process outside is the same socket to the kernel: steering_outside tries that.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

static const char *way;
static int listener;

static int steering_attach_classic(int fd)
{
	struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	const struct sock_fprog program = {1, first};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

static int steering_attach_extended(int fd)
{
	/* r0 = 0; exit: as a socket filter, which reuseport groups accept as well. */
	static const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K},
	                                        {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr = {
	        .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
	        .insns = (uintptr_t)insns,
	        .insn_cnt = 2,
	        .license = (uintptr_t) "GPL",
	        .prog_name = "attacker",
	};
	const int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	if (program < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof(program));
}

static int steering_detach(int fd)
{
	const int unused = 0;

	return setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused));
}

static int steering_set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

/* Sets the option to 0. The kernel runs no cgroup program for system calls of 32-bit programs
 * (do_sock_setsockopt()). */
static int steering_set_compat(int fd, int option)
{
#ifdef __x86_64__
	const long setsockopt_32 = 366;
	void *zero = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long r;

	__asm__ volatile("int $0x80"
	                 : "=a"(r)
	                 : "a"(setsockopt_32), "b"((long)fd), "c"((long)SOL_SOCKET),
	                   "d"((long)option), "S"(zero), "D"(4L)
	                 : "memory", "r8", "r9", "r10", "r11");
	if (r < 0)
		errno = (int)-r;
	return r < 0 ? -1 : 0;
#else
	return steering_set(fd, option, 0);
#endif
}

static int steering_listen_again(int fd)
{
	return shutdown(fd, SHUT_RDWR) < 0 || listen(fd, 1024) < 0 ? -1 : 0;
}

/* A message that no process receives has the listener. */
static int steering_hide(int fd)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	attack_send_file(pair[0], NULL, "\n", fd);
	return 0;
}

/* A listener with SO_REUSEPORT off that no process can be asked for, and another program. */
static int steering_hide_avoiding(int fd)
{
	return steering_set(fd, SO_REUSEPORT, 0) < 0 || steering_attach_classic(fd) < 0
	               ? -1
	               : steering_hide(fd);
}

static void steering_try(int fd)
{
	int r;

	if (!strcmp(way, "cbpf"))
		r = steering_attach_classic(fd);
	else if (!strcmp(way, "ebpf"))
		r = steering_attach_extended(fd);
	else if (!strcmp(way, "compat"))
		r = steering_set_compat(fd, SO_DETACH_REUSEPORT_BPF);
	else if (!strcmp(way, "compat_off"))
		r = steering_set_compat(fd, SO_REUSEPORT);
	else if (!strcmp(way, "off"))
		r = steering_set(fd, SO_REUSEPORT, 0);
	else if (!strcmp(way, "lock"))
		r = steering_set(fd, SO_LOCK_FILTER, 1);
	else if (!strcmp(way, "device"))
		r = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo"));
	else if (!strcmp(way, "again"))
		r = steering_listen_again(fd);
	else if (!strcmp(way, "hide"))
		r = steering_hide(fd);
	else if (!strcmp(way, "hidden"))
		r = steering_hide_avoiding(fd);
	else
		r = steering_detach(fd);
	printf("%s: %s\n", way, r < 0 ? strerror(errno) : "done");
	fflush(stdout);
	while (!strncmp(way, "hid", 3))
		pause();
}

static void steering_on_signal(int signal)
{
	steering_try(listener);
}

static void steering_bind(int fd, uint16_t port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "bind");
}

static int steering_open(const char *when, uint16_t port)
{
	const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (!strcmp(when, "unbound"))
		steering_try(fd);
	steering_bind(fd, port);
	if (!strcmp(when, "bound"))
		steering_try(fd);
	if (listen(fd, 1024) < 0)
		err(1, "listen");
	return fd;
}

/* Answers each connection with the pid, and closes it. */
static _Noreturn void steering_serve(void)
{
	char request[4096], answer[256];

	for (;;) {
		const int fd = accept(listener, NULL, NULL);
		int length;

		if (fd < 0)
			continue; /* by a signal, for example */
		if (recv(fd, request, sizeof(request), 0) > 0) {
			length = snprintf(answer, sizeof(answer),
			                  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Worker: %d\r\n"
			                  "Connection: close\r\n\r\n",
			                  getpid());
			send(fd, answer, (size_t)length, MSG_NOSIGNAL);
		}
		close(fd);
	}
}

ATTACK(steering)
{
	struct sigaction on_signal = {.sa_handler = steering_on_signal};
	const char *when;

	if (!arguments[0] || !arguments[1])
		errx(2, "steering WAY WHEN [PORT]");
	way = arguments[0];
	when = arguments[1];
	if (arguments[2])
		listener = steering_open(when, (uint16_t)atoi(arguments[2]));
	else
		listener = 3; /* SD_LISTEN_FDS_START */
	fcntl(listener, F_SETFL, 0);
	if (!strcmp(when, "usr1"))
		sigaction(SIGUSR1, &on_signal, NULL);
	printf("ready %d\n", getpid());
	fflush(stdout);
	steering_serve();
}
