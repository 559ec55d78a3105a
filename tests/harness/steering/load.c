/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/load.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "steering/client.h"
#include "steering/server.h"

#define THREADS_MAX 8
#define LOOK_MS     20 /* how often the server polls the queues that epoll has not reported */

struct load {
	struct bed *bed;
	struct load_plan plan;
	pthread_t clients[THREADS_MAX];
	pthread_t server;
	_Atomic unsigned int n_started;
	/* The mark that each client's connection began with. */
	_Atomic unsigned int at[THREADS_MAX];
	_Atomic bool stop_clients;
	_Atomic bool stop_server; /* once all connections are closed */
	_Atomic bool give_up;     /* at once */
	_Atomic unsigned int mark;
	_Atomic unsigned int done;
	_Atomic unsigned int failed;
	_Atomic int error; /* of the last connection that failed */
	unsigned int taken_before;
	int epfd;            /* the server's: bed->epfd and all connections */
	int cpu;             /* that the server stays on; -1 = any */
	unsigned int n_open; /* accepted, not closed yet */
};

static unsigned int load_taken_by_all(const struct bed *bed)
{
	unsigned int taken = 0;

	for (unsigned int i = 0; i < bed->n_listeners; i++)
		taken += server_taken(bed, i);
	return taken;
}

/* One connection, from the handshake to the answer. */
static int load_connect_once(struct load *load, unsigned int mark, unsigned int *seed)
{
	const struct load_plan *plan = &load->plan;
	const bool v6 = plan->v6 && (!plan->v4 || rand_r(seed) & 0x100);
	const union socket_address from = socket_address_marked(mark);
	const int fd = client_connect(load->bed, v6 ? plan->v6_endpoint : plan->v4_endpoint,
	                              v6 ? AF_INET6 : AF_INET, v6 ? NULL : &from);
	char answer;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, &answer, 1);
	n = n == 1 ? 0 : n < 0 ? -errno : -EPIPE;
	client_reset(fd);
	return (int)n;
}

static void *load_client_thread(void *arg)
{
	struct load *load = arg;
	const unsigned int client = load->n_started++;
	unsigned int seed = client;
	cpu_set_t allowed, one;
	int cpu = -1;

	/* Packets of a client that stays on one CPU are handled in order. */
	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (unsigned int i = 0; i <= seed % (unsigned int)CPU_COUNT(&allowed); i++)
		do
			cpu++;
		while (!CPU_ISSET(cpu, &allowed));
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);

	for (unsigned int i = 0; !load->stop_clients; i++) {
		int r;

		if (load->plan.each && i == load->plan.each)
			break;
		load->at[client] = load->mark;
		r = load_connect_once(load, load->at[client], &seed);
		if (r == 0) {
			load->done++;
		} else {
			load->error = -r;
			load->failed++;
		}
	}
	return NULL;
}

/* Watches @fd: a connection with its descriptor as @data, the bed's epoll descriptor with -1. */
static void load_watch(struct load *load, int fd, int data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = data};

	epoll_ctl(load->epfd, EPOLL_CTL_ADD, fd, &event);
}

/* Moves to the CPU of the client. Its ACK of the answer then precedes its reset: from another CPU
 * it might follow the reset and find no socket, and the program would run for it. */
static void load_follow_client(struct load *load, int fd)
{
	int cpu = -1;
	cpu_set_t there;

	getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &(socklen_t){sizeof(cpu)});
	if (cpu < 0 || cpu == load->cpu)
		return;
	load->cpu = cpu;
	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	sched_setaffinity(0, sizeof(there), &there);
}

/* A child of the process (kern/held_child.h) may have it open for a moment more: epoll would report
 * it again. */
static void load_end_connection(struct load *load, int fd)
{
	epoll_ctl(load->epfd, EPOLL_CTL_DEL, fd, NULL);
	close(fd);
	load->n_open--;
}

static void load_answer_all(struct load *load, unsigned int listener)
{
	for (int fd; (fd = server_accept(load->bed, listener)) >= 0;) {
		load_follow_client(load, fd);
		if (write(fd, "", 1) == 1) {
			load_watch(load, fd, fd);
			load->n_open++;
		} else { /* the client reports it */
			close(fd);
		}
	}
}

static void load_serve_listeners(struct load *load)
{
	struct epoll_event events[16];
	const int n = epoll_wait(load->bed->epfd, events, ARRAY_SIZE(events), 0);

	for (int i = 0; i < n; i++)
		load_answer_all(load, events[i].data.u32);
}

/* Only the client ends a connection, by a reset that finds its socket. If the server closed it too,
 * the last packet of one end might find none, and the program would run for it. */
static void *load_server_thread(void *arg)
{
	struct load *load = arg;
	struct epoll_event events[64];

	load_watch(load, load->bed->epfd, -1);
	while (!load->stop_server || (load->n_open > 0 && !load->give_up)) {
		const int n = epoll_wait(load->epfd, events, ARRAY_SIZE(events), LOOK_MS);

		for (int i = 0; i < n; i++)
			if (events[i].data.fd < 0)
				load_serve_listeners(load);
			else
				load_end_connection(load, events[i].data.fd);
		for (unsigned int i = 0; n == 0 && i < load->bed->n_listeners; i++)
			load_answer_all(load, i);
	}
	return NULL;
}

void load_start(struct bed *bed, const struct load_plan *plan)
{
	struct load *load = calloc(1, sizeof(*load));

	CHECK(load && !bed->load && plan->threads <= THREADS_MAX);
	load->bed = bed;
	load->plan = *plan;
	load->taken_before = load_taken_by_all(bed);
	load->cpu = -1;
	load->epfd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(load->epfd >= 0);
	bed->load = load;
	CHECK_EQ(pthread_create(&load->server, NULL, load_server_thread, load), 0);
	for (unsigned int i = 0; i < plan->threads; i++)
		CHECK_EQ(pthread_create(&load->clients[i], NULL, load_client_thread, load), 0);
}

unsigned int load_done(const struct bed *bed)
{
	return bed->load->done;
}

void load_wait(const struct bed *bed, unsigned int n)
{
	const unsigned int enough = bed->load->done + n;

	CHECK_UNTIL(bed->load->done >= enough || bed->load->failed);
}

unsigned int load_mark(struct bed *bed)
{
	return ++bed->load->mark;
}

static bool load_has_passed(const struct load *load, unsigned int mark)
{
	for (unsigned int i = 0; i < load->plan.threads; i++)
		if (load->at[i] < mark)
			return false;
	return true;
}

void load_pass(const struct bed *bed, unsigned int mark)
{
	CHECK_UNTIL(load_has_passed(bed->load, mark) || bed->load->failed);
}

static void load_free(struct load *load)
{
	load->bed->load = NULL;
	close(load->epfd);
	free(load);
}

static void load_join(struct load *load)
{
	for (unsigned int i = 0; i < load->plan.threads; i++)
		pthread_join(load->clients[i], NULL);
	load->stop_server = true;
	pthread_join(load->server, NULL);
}

void load_abort(struct load *load)
{
	load->stop_clients = true;
	load->give_up = true;
	load_join(load);
	load_free(load);
}

unsigned int load_stop(struct bed *bed)
{
	struct load *load = bed->load;
	unsigned int done, failed, taken;
	int error;

	load->stop_clients = load->plan.each == 0;
	load_join(load);
	done = load->done;
	failed = load->failed;
	error = load->error;
	taken = load_taken_by_all(bed) - load->taken_before;
	load_free(load);
	CHECK_MSG(failed == 0, "%u connections of %u failed: %s", failed, failed + done,
	          strerror(error));
	CHECK_EQ(taken, done);
	return done;
}

unsigned int load_run(struct bed *bed, const struct load_plan *plan)
{
	load_start(bed, plan);
	return load_stop(bed);
}
