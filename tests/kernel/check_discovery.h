/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What check_sockdiag and check_proc share: cases with checks, children that live until the end of
 * their case, and listeners that are open until then, all in a network namespace of our own.
 */
#pragma once

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include <reuseportd/abi.h>
#include "slow.h"

#define DEADLINE_S   (10 * slow())
#define CHILDREN_MAX 16
#define SOCKETS_MAX  4096
#define LOOPBACK     1 /* its ifindex in every network namespace */

/* Why the case at hand failed; a check that fails ends it. */
static char failure[512];

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			snprintf(failure, sizeof(failure), "line %d: %s", __LINE__, #condition);   \
			return;                                                                    \
		}                                                                                  \
	} while (0)

/* Looks until it is so. */
#define CHECK_COMES(condition)                                                                     \
	do {                                                                                       \
		const time_t _end = time(NULL) + DEADLINE_S;                                       \
		while (!(condition) && time(NULL) < _end)                                          \
			sched_yield();                                                             \
		CHECK(condition);                                                                  \
	} while (0)

/* What children tell us. */
static struct {
	_Atomic pid_t pids[2];
	_Atomic int fd;
	_Atomic int error;
	_Atomic bool stop;
	char text[ERROR_TEXT_MAX];
} * shared;

static pid_t children[CHILDREN_MAX];
static size_t n_children;

static inline pid_t child_fork(void (*run)(int), int fd)
{
	const pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(fd);
		_exit(0);
	}
	return pid;
}

static inline uint32_t child_start(void (*run)(int), int fd)
{
	return (uint32_t)(children[n_children++] = child_fork(run, fd));
}

static inline void children_end(void)
{
	while (n_children > 0) {
		kill(children[--n_children], SIGKILL);
		waitpid(children[n_children], NULL, 0);
	}
	memset(shared, 0, sizeof(*shared));
}

/* They stay open until the end of the case. */
static int sockets[SOCKETS_MAX];
static size_t n_sockets;

static inline int socket_keep(int fd)
{
	sockets[n_sockets++] = fd;
	return fd;
}

static inline void sockets_close(void)
{
	while (n_sockets > 0)
		close(sockets[--n_sockets]);
}

/* A listener in @e, whose port it fills in if that is 0. */
static inline int listener_open(struct rpd_endpoint *e, int backlog)
{
	_cleanup_close_ int fd = socket(e->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const bool v6 = e->family == AF_INET6;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
	struct sockaddr *sa = v6 ? (void *)&in6 : (void *)&in;
	socklen_t length = v6 ? sizeof(in6) : sizeof(in);
	const int on = 1, v6only = e->v6only, ifindex = (int)e->ifindex;

	memcpy(v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr, e->addr, v6 ? 16 : 4);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0 ||
	    fchown(fd, e->uid, (gid_t)-1) < 0 || bind(fd, sa, length) < 0 ||
	    listen(fd, backlog) < 0 || getsockname(fd, sa, &length) < 0)
		return -1;
	e->port = ntohs(v6 ? in6.sin6_port : in.sin_port);
	return socket_keep(TAKE_FD(fd));
}

static inline struct rpd_endpoint loopback(void)
{
	return (struct rpd_endpoint){.family = AF_INET, .addr = {127, 0, 0, 1}};
}

static inline uint32_t inode_of(int fd)
{
	struct stat st = {0};

	fstat(fd, &st);
	return (uint32_t)st.st_ino;
}

struct check_case {
	const char *name;
	void (*run)(void);
};

/* A network namespace whose loopback device is up, and leave to open many sockets. */
static inline bool sandbox_enter(void)
{
	struct ifreq loopback_up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	struct rlimit files;
	_cleanup_close_ int fd = -1;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return false;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || unshare(CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &loopback_up) == 0;
}

/* Runs the cases and says how they went. Returns the exit status. */
static inline int check_run(const struct check_case *cases, size_t n)
{
	size_t failed = 0;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	if (shared == MAP_FAILED || !sandbox_enter()) {
		printf("FAILED sandbox: %s\n0 passed, 1 failed\n", strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		failure[0] = '\0';
		cases[i].run();
		children_end();
		sockets_close();
		if (failure[0])
			failed++;
		printf(failure[0] ? "FAILED %s: %s\n" : "ok %s\n", cases[i].name, failure);
	}
	printf("%zu passed, %zu failed\n", n - failed, failed);
	return failed > 0;
}
