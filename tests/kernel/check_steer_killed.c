/* SPDX-License-Identifier: BSD-2-Clause */
/* Stuck workers are killed under load, while the program looks at their queues, compares their
 * loads and passes their turns on: RPD_FULL=1 kills 10,000 of them. Another listener of the group,
 * which is not admitted and may have the memory of one that has closed, gets no connection. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "base/cleanup.h"
#include "kern/steer_queues.h"
#include "steering/bed.h"
#include "steering/client.h"
#include "steering/counters.h"
#include "steering/server.h"

#define WORKERS     8
#define CLIENTS     16
#define FROM        1000 /* addresses of clients */
#define STUCK_AFTER 1    /* the shortest time */
#define LOOK_MS     20   /* how often a worker polls a queue that poll() has not reported */
#define KILLS       (check_is_full() ? 3334 : 100)

static struct {
	struct bed *bed;
	pid_t workers[WORKERS];
	pthread_t clients[CLIENTS];
	unsigned int n_clients;
	_Atomic bool stop;
	_Atomic unsigned int from;
	_Atomic unsigned int answered;
	_Atomic unsigned int reset; /* by the end of their worker */
	_Atomic int error;          /* of a connection that failed otherwise */
} scene;

/* A worker, which has the listener @fd and nothing else. */
__attribute__((noreturn)) static void serve(int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, 0);
	close_range(1, UINT_MAX, 0);
	for (;;) {
		poll(&(struct pollfd){.fd = 0, .events = POLLIN}, 1, LOOK_MS);
		fd = accept(0, NULL, NULL);
		if (fd >= 0 && write(fd, "", 1) != 1)
			_exit(1);
		close(fd);
	}
}

/* Leaves the newest listener of the bed to a new process. */
static void start_worker(unsigned int slot)
{
	const unsigned int listener = scene.bed->n_listeners - 1;
	const int fd = scene.bed->listeners[listener].fd;

	scene.workers[slot] = fork();
	CHECK(scene.workers[slot] >= 0);
	if (scene.workers[slot] == 0)
		serve(fd);
	epoll_ctl(scene.bed->epfd, EPOLL_CTL_DEL, fd, NULL);
	bed_close(scene.bed, listener);
	scene.bed->n_listeners--;
}

static uint64_t lost_turns(unsigned int slot)
{
	struct rpd_queue rows[WORKERS];

	CHECK_EQ(steer_queues_read(&scene.bed->steer, 0, WORKERS, rows), 0);
	return rows[slot].passed[RPD_PASS_stuck];
}

/* Stops a worker until it is stuck and its turns go to others. */
static void hang_worker(unsigned int slot)
{
	const uint64_t lost = lost_turns(slot);

	CHECK_EQ(kill(scene.workers[slot], SIGSTOP), 0);
	CHECK_UNTIL(lost_turns(slot) > lost || scene.error);
}

static void kill_worker(unsigned int slot)
{
	kill(scene.workers[slot], SIGKILL);
	waitpid(scene.workers[slot], NULL, 0);
	scene.workers[slot] = 0;
}

/* On a busy machine, all workers may seem stuck for a moment, and all clients then wait for the one
 * that hangs. So a client gives up after a time, and connects again. */
static void *client_thread(void *arg)
{
	const struct timeval patience = {.tv_usec = 500000};

	(void)arg;
	while (!scene.stop && !scene.error) {
		const union socket_address from = socket_address_marked(1 + scene.from++ % FROM);
		const int fd = client_connect(scene.bed, 0, AF_INET, &from);
		char byte;
		ssize_t n = -1;
		int error = -fd;

		if (fd >= 0) {
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
			n = read(fd, &byte, 1);
			error = errno;
			client_reset(fd);
		}
		if (n == 1)
			scene.answered++;
		else if (n == 0 || error == ECONNRESET)
			scene.reset++;
		else if (error != EAGAIN)
			scene.error = error;
	}
	return NULL;
}

static void stop_clients(void)
{
	scene.stop = true;
	for (; scene.n_clients > 0; scene.n_clients--)
		pthread_join(scene.clients[scene.n_clients - 1], NULL);
}

static void end(void)
{
	stop_clients();
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		if (scene.workers[slot] > 0)
			kill_worker(slot);
}

/* Listener 0 is that of a worker that drains; the others' are with their processes. */
static void start(enum rpd_policy policy)
{
	struct bed *bed = bed_new();

	scene.bed = bed;
	scene.stop = false;
	scene.answered = scene.reset = 0;
	scene.error = 0;
	check_at_end(end);
	bed->draft.policy = policy;
	bed->draft.stuck_after = STUCK_AFTER;
	bed_endpoint(bed, AF_INET, false);
	bed_workers(bed, 0, WORKERS, 1, RPD_FIRST_LABEL);
	for (unsigned int slot = 0; slot < WORKERS; slot++) {
		bed_workers(bed, 0, slot, 1, RPD_FIRST_LABEL);
		start_worker(slot);
	}
	bed_set_state(bed, WORKERS, RPD_SLOT_DRAINING);
	bed_attach(bed, 0);
	for (; scene.n_clients < CLIENTS; scene.n_clients++)
		CHECK_EQ(pthread_create(&scene.clients[scene.n_clients], NULL, client_thread, NULL),
		         0);
}

static void wait_for_answers(unsigned int n)
{
	const unsigned int enough = scene.answered + n;

	CHECK_UNTIL(scene.answered >= enough || scene.error);
	CHECK_EQ(scene.error, 0);
}

static void kill_under_load(enum rpd_policy policy)
{
	unsigned int kills, foreign;

	start(policy);
	wait_for_answers(10 * WORKERS);
	for (kills = 0; kills < (unsigned int)KILLS; kills++) {
		const unsigned int slot = kills % WORKERS;

		hang_worker(slot);
		kill_worker(slot);
		foreign = bed_listen(scene.bed, 0);
		wait_for_answers(WORKERS);
		CHECK_EQ(server_accept(scene.bed, foreign), -1);
		bed_admit(scene.bed, foreign, slot, RPD_FIRST_LABEL);
		start_worker(slot);
	}
	wait_for_answers(10 * WORKERS);
	stop_clients();
	CHECK_EQ(scene.error, 0);
	CHECK_EQ(server_accept(scene.bed, 0), -1);
	CHECK_BETWEEN(scene.reset, 0, kills);
	CHECK_EQ(counters_total(scene.bed, RPD_OUTCOME_dropped), 0);
	CHECK_EQ(counters_total(scene.bed, RPD_OUTCOME_fell_back), 0);
}

static void round_robin(void)
{
	kill_under_load(RPD_ROUND_ROBIN);
}

static void sticky(void)
{
	kill_under_load(RPD_STICKY);
}

static void least_connections(void)
{
	kill_under_load(RPD_LEAST_CONNECTIONS);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(round_robin),
	        CHECK_CASE(sticky),
	        CHECK_CASE(least_connections),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
