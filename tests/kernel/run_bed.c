/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "run_bed.h"
#include "base/cleanup.h"
#include "service/detach.h"
#include "service/service_create.h"
#include "service/service_endpoint.h"
#include "service/slot_replace.h"
#include "kern/own_listener.h"
#include "kern/sockdiag.h"
#include "kern/proc_holders.h"

static pid_t pids[RUN_PIDS_MAX];

void run_kill(pid_t pid)
{
	for (unsigned int i = 0; i < RUN_PIDS_MAX; i++)
		if (pids[i] == pid)
			pids[i] = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

pid_t run_fork(int keep)
{
	unsigned int i = 0;

	while (i < RUN_PIDS_MAX && pids[i])
		i++;
	CHECK(i < RUN_PIDS_MAX);
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

int run_create(struct service *service, struct error *err)
{
	const struct service_plan plan = {.name = RUN_NAME,
	                                  .workers = RUN_SLOTS,
	                                  .policy = RPD_ROUND_ROBIN,
	                                  .label = RPD_FIRST_LABEL,
	                                  .max_conns = 1024};

	return service_create(service, &plan, err);
}

void run_begin(struct service *service)
{
	char name[RPD_LABEL_MAX];
	struct error err;

	for (unsigned int i = 0; i < RUN_PIDS_MAX; i++)
		if (pids[i] > 0)
			run_kill(pids[i]);
	service_close(service);
	/* What an earlier case has left has us for its supervisor: that can't be detached. */
	if (service_open(service, RUN_NAME, &err) == 0)
		service_remove(service, true, &err);
	service_close(service);
	detach(RUN_NAME, true, name, &err); /* damaged pins */
	if (run_create(service, &err) != 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
}

void run_reopen(struct service *service)
{
	struct error err;

	service_close(service);
	if (service_open(service, RUN_NAME, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
}

unsigned int run_endpoint(struct service *service, int family, bool v6only, uint16_t port,
                          uint32_t uid)
{
	const struct rpd_endpoint endpoint = {
	        .family = family, .v6only = v6only, .port = port, .uid = uid};
	struct error err;
	int r = service_endpoint_add(service, &endpoint, &err);

	if (r < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	return (unsigned int)r;
}

/* A connection: read up to the end of the line or of the data, then answered. All of it is there,
 * or comes soon. */
static void serve(int fd)
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

/* As many servers do: it waits for an edge, and accepts all that is there then. */
__attribute__((noreturn)) static void work(const struct rpd_service *info, unsigned int endpoints,
                                           int ready)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	struct error err;

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		if (!(endpoints & 1u << e))
			continue;
		if (seteuid(info->endpoints[e].uid) < 0)
			_exit(1);
		event.data.fd = own_listener_open(&info->endpoints[e], &err);
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
			serve(fd);
	}
}

/* Of the listeners in the endpoint's group the one that the worker has open. */
static void find_listener(const struct service *service, unsigned int endpoint,
                          struct run_worker *worker)
{
	const struct rpd_endpoint *it = &service->steer.service->endpoints[endpoint];
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	size_t n, n_holders;
	struct error err;

	CHECK_EQ(sockdiag_list_listeners(it->port, &listeners, &n, &err), 0);
	CHECK_EQ(proc_holders_find(listeners, n, &holders, &n_holders, &err), 0);
	for (size_t h = 0; h < n_holders; h++)
		for (size_t l = 0; l < n; l++) {
			if (holders[h].id.pid != (uint32_t)worker->pid ||
			    holders[h].inode != listeners[l].inode ||
			    !!memcmp(&listeners[l].endpoint, it, sizeof(*it)))
				continue;
			worker->listeners[endpoint] = listeners[l];
			worker->newcomer.listeners[endpoint] = &worker->listeners[endpoint];
			worker->newcomer.fds[endpoint] = holders[h].fd;
			worker->newcomer.owner = holders[h];
		}
	CHECK(worker->newcomer.listeners[endpoint]);
}

void run_start(struct service *service, unsigned int endpoints, struct run_worker *ret)
{
	int ready[2];
	char byte;

	memset(ret, 0, sizeof(*ret));
	CHECK_EQ(pipe(ready), 0);
	ret->pid = run_fork(ready[1]);
	if (ret->pid == 0) {
		struct rpd_service info = *service->steer.service;

		work(&info, endpoints, STDIN_FILENO);
	}
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++)
		if (endpoints & 1u << e)
			find_listener(service, e, ret);
}

int run_admit(struct service *service, struct parking *parking, unsigned int slot,
              struct run_worker *ret)
{
	struct error err;
	int r;

	run_start(service, (1u << service->steer.service->n_endpoints) - 1, ret);
	r = slot_replace_worker(service, slot, &ret->newcomer, NULL, "test", &err);
	if (r == 0)
		r = parking_hand_over(parking, service, &err);
	if (r < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	return r;
}

int run_connect(const struct rpd_endpoint *endpoint)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
	                         .sin_port = htons(endpoint->port),
	                         .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
	                           .sin6_port = htons(endpoint->port),
	                           .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const struct timeval deadline = {.tv_sec = BED_DEADLINE_S};
	const bool v6 = endpoint->family == AF_INET6;
	_cleanup_close_ int fd = socket(endpoint->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0 ||
	    connect(fd, v6 ? (void *)&in6 : (void *)&in, v6 ? sizeof(in6) : sizeof(in)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

void run_send(int fd, size_t n)
{
	_cleanup_free_ char *text = malloc(n);

	CHECK(text);
	memset(text, 'x', n - 1);
	text[n - 1] = '\n';
	CHECK_EQ(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

long run_answer(int fd, pid_t *ret_pid)
{
	char answer[64] = "";
	size_t n = 0;
	ssize_t got;
	long read_there;
	int pid;

	do {
		got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0 && n < sizeof(answer) - 1);
	got = got < 0 ? -errno : 0;
	close(fd);
	if (got < 0)
		return got;
	if (sscanf(answer, "%ld %d", &read_there, &pid) != 2)
		return -ENODATA;
	if (ret_pid)
		*ret_pid = pid;
	return read_there;
}
