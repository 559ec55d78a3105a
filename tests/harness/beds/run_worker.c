/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/run_worker.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "base/cleanup.h"
#include "kern/own_listener.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"
#include "service/slot_replace.h"

#define PIDS_MAX 64

static pid_t pids[PIDS_MAX];

void run_worker_kill(pid_t pid)
{
	for (unsigned int i = 0; i < PIDS_MAX; i++)
		if (pids[i] == pid)
			pids[i] = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void run_worker_kill_all(void)
{
	for (unsigned int i = 0; i < PIDS_MAX; i++)
		if (pids[i] > 0)
			run_worker_kill(pids[i]);
}

pid_t run_worker_fork(int keep)
{
	unsigned int i = 0;

	while (i < PIDS_MAX && pids[i])
		i++;
	CHECK(i < PIDS_MAX);
	pids[i] = fork();
	CHECK(pids[i] >= 0);
	if (pids[i] == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (keep >= 0)
			dup2(keep, STDIN_FILENO);
		close_range(STDERR_FILENO + 1, UINT_MAX, 0);
		return 0;
	}
	return pids[i];
}

/* Reads a connection up to the end of the line or of the data, and answers. */
static void run_worker_serve(int fd)
{
	static char buffer[65536];
	char answer[64];
	size_t n = 0;
	ssize_t got;

	do {
		got = read(fd, buffer, sizeof(buffer));
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0 && buffer[got - 1] != '\n');
	got = snprintf(answer, sizeof(answer), "%zu %d\n", n, getpid());
	(void)!send(fd, answer, (size_t)got, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	close(fd);
}

/* As many servers do: waits for an edge, then accepts until the queue is empty. */
__attribute__((noreturn)) static void run_worker_loop(const struct rpd_service *info,
                                                      unsigned int endpoints, int ready)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	struct error err;

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		if (!(endpoints & 1u << e))
			continue;
		if (seteuid(info->endpoints[e].uid) < 0)
			_exit(1);
		event.data.fd = own_listener_open(&info->endpoints[e], -1, &err);
		if (event.data.fd < 0 ||
		    epoll_ctl(epfd, EPOLL_CTL_ADD, event.data.fd, &event) < 0) {
			dprintf(STDERR_FILENO, "%s\n", err.text);
			_exit(1);
		}
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;) {
		int fd;

		if (epoll_wait(epfd, &event, 1, -1) != 1)
			continue;
		while ((fd = accept(event.data.fd, NULL, NULL)) >= 0)
			run_worker_serve(fd);
	}
}

/* Finds the listener in the endpoint's group that the worker has open. */
static void run_worker_find_listener(unsigned int endpoint, struct run_worker *worker)
{
	const struct rpd_endpoint *it = run_service_endpoint(endpoint);
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	const uint32_t pid = (uint32_t)worker->pid;
	size_t n, n_holders;
	struct error err;

	CHECK_EQ(sockdiag_list_listeners(it->port, &listeners, &n, &err), 0);
	CHECK_EQ(proc_holders_find_among(&pid, 1, listeners, n, &holders, &n_holders, &err), 0);
	for (size_t h = 0; h < n_holders; h++)
		for (size_t l = 0; l < n; l++) {
			if (holders[h].inode != listeners[l].inode ||
			    !!memcmp(&listeners[l].endpoint, it, sizeof(*it)))
				continue;
			worker->listeners[endpoint] = listeners[l];
			worker->newcomer.listeners[endpoint] = &worker->listeners[endpoint];
			worker->newcomer.fds[endpoint] = holders[h].fd;
			worker->newcomer.owner = holders[h];
		}
	CHECK(worker->newcomer.listeners[endpoint]);
}

void run_worker_start(unsigned int endpoints, struct run_worker *ret)
{
	int ready[2];
	char byte;

	memset(ret, 0, sizeof(*ret));
	CHECK_EQ(pipe(ready), 0);
	ret->pid = run_worker_fork(ready[1]);
	if (ret->pid == 0) {
		struct rpd_service info = *run_service.steer.service;

		run_worker_loop(&info, endpoints, STDIN_FILENO);
	}
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	for (unsigned int e = 0; e < run_service.steer.service->n_endpoints; e++)
		if (endpoints & 1u << e)
			run_worker_find_listener(e, ret);
}

int run_worker_admit(unsigned int slot, struct run_worker *ret)
{
	struct service *service = &run_service;
	struct error err;
	int r;

	run_worker_start((1u << service->steer.service->n_endpoints) - 1, ret);
	r = slot_replace_worker(service, slot, &ret->newcomer, NULL, "test", &err);
	if (r == 0)
		r = parking_hand_over(&run_parking, service, &err);
	CHECK_MSG(r >= 0, "%s", err.text);
	return r;
}
