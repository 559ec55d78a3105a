/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parking: with no worker there connections are held, whatever the client does meanwhile, and go to
 * a worker when it comes; each of them, with all that was sent.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run_bed.h"
#include "base/cleanup.h"
#include "service/generation.h"
#include "service/observe.h"
#include "service/service_supervisor.h"
#include "service/slot_replace.h"
#include "kern/probe_socket.h"
#include "kern/steer_workers.h"
#include "kern/steer_probes.h"
#include "kern/steer_counters.h"
#include "core/conn_count.h"
#include "kern/conns.h"

#define EACH   5
#define MUCH   100000
#define NOBODY 65534 /* a uid */

static struct service service;
static struct parking parking;

static void begin(void)
{
	parking_close(&parking);
	run_begin(&service);
	parking_init(&parking);
}

static void open_parking(void)
{
	struct error err;

	if (parking_open(&parking, &service, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
}

static const struct rpd_endpoint *endpoint(unsigned int e)
{
	return &service.steer.service->endpoints[e];
}

static uint64_t count(unsigned int row, enum rpd_outcome outcome)
{
	static struct counters rows[RPD_ROW_MAX];
	struct error err;

	CHECK_EQ(steer_counters_read(&service.steer, rows, &err), 0);
	return rows[row].of[outcome];
}

static uint64_t open_in(uint16_t account)
{
	struct conn_count counted;

	CHECK_EQ(conns_read_count(&service.steer, account, &counted), 0);
	return conn_count_still_open(&counted);
}

static int connected(unsigned int e)
{
	int fd = run_connect(endpoint(e));

	CHECK(fd >= 0);
	return fd;
}

static bool is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static void reset(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
	           sizeof(struct linger));
	close(fd);
}

/* A connection that is made, answered by a live worker, and done. */
static pid_t visit(unsigned int e)
{
	int fd = connected(e);
	pid_t pid;

	run_send(fd, 2);
	CHECK_EQ(run_answer(fd, &pid), 2);
	return pid;
}

/* Nobody sees the supervisor's listeners, and of the connections none is left anywhere. */
static void check_clean(void)
{
	_cleanup_observed_ struct observed o = {};
	struct error err;

	CHECK_EQ(observe(&service, OBSERVE_KNOWN, &o, &err), 0);
	CHECK_EQ(o.n_foreign, 0);
	CHECK_EQ(o.n_parked, 0);
	CHECK_COMES(open_in(RPD_ACCOUNT_PARKED) == 0);
	CHECK_COMES(open_in(0) == 0);
}

static void all_kinds(struct bed *bed)
{
	int quiet[EACH], small[EACH], big[EACH], half[EACH];
	struct run_worker worker;
	uint64_t held;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	open_parking();
	for (unsigned int i = 0; i < EACH; i++) {
		quiet[i] = connected(0);
		small[i] = connected(0);
		run_send(small[i], 10 + i);
		big[i] = connected(0);
		run_send(big[i], MUCH + i);
		half[i] = connected(0);
		CHECK_EQ(send(half[i], "abc", 3, 0), 3);
		shutdown(half[i], SHUT_WR);
		close(connected(0));
		reset(connected(0));
	}
	CHECK_EQ(parking_queued(&parking), 6 * EACH);
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 6 * EACH);
	CHECK_EQ(run_admit(&service, &parking, 2, &worker), 6 * EACH);
	CHECK_EQ(parking_queued(&parking), 0);
	CHECK_EQ(count(2, RPD_OUTCOME_migrated), 6 * EACH);
	for (unsigned int i = 0; i < EACH; i++) {
		run_send(quiet[i], 7);
		CHECK_EQ(run_answer(quiet[i], NULL), 7);
		CHECK_EQ(run_answer(small[i], NULL), 10 + i);
		CHECK_EQ(run_answer(big[i], NULL), MUCH + i);
		CHECK_EQ(run_answer(half[i], NULL), 3);
	}
	CHECK_EQ(visit(0), worker.pid);
	CHECK_EQ(count(2, RPD_OUTCOME_steered), 1);
	CHECK_EQ(count(RPD_ROW_NONE, RPD_OUTCOME_dropped), 0);
	check_clean();
	CHECK(generation_open_connections(&service, 2, &held));
	CHECK_COMES(generation_open_connections(&service, 2, &held) && held == 0);
}

/* What was parked counts as the worker's from the moment on in which it is handed over. */
static void are_counted(struct bed *bed)
{
	struct run_worker worker;
	uint64_t held = 0;
	int clients[8];

	begin();
	run_endpoint(&service, AF_INET6, false, RUN_PORT, 0);
	open_parking();
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = connected(0);
	CHECK_EQ(open_in(RPD_ACCOUNT_PARKED), ARRAY_SIZE(clients));
	CHECK_EQ(run_admit(&service, &parking, 0, &worker), ARRAY_SIZE(clients));
	CHECK_EQ(open_in(RPD_ACCOUNT_PARKED), 0);
	CHECK(generation_open_connections(&service, 0, &held));
	CHECK_EQ(held, ARRAY_SIZE(clients));
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		run_send(clients[i], 5);
		CHECK_EQ(run_answer(clients[i], NULL), 5);
	}
	check_clean();
}

/* Two families, two ports, and workers of another user than we are. */
static void other_user(struct bed *bed)
{
	struct run_worker worker;
	int clients[3];

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, NOBODY);
	run_endpoint(&service, AF_INET6, true, RUN_PORT, NOBODY);
	run_endpoint(&service, AF_INET6, false, RUN_PORT + 1, NOBODY);
	open_parking();
	for (unsigned int e = 0; e < 3; e++) {
		clients[e] = connected(e);
		run_send(clients[e], 20 + e);
	}
	CHECK_EQ(run_admit(&service, &parking, 1, &worker), 3);
	for (unsigned int e = 0; e < 3; e++)
		CHECK_EQ(run_answer(clients[e], NULL), 20 + e);
	for (unsigned int e = 0; e < 3; e++)
		CHECK_EQ(visit(e), worker.pid);
	check_clean();
}

/* Somebody who doesn't share the port. */
static void port_taken(struct bed *bed)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(RUN_PORT)};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;
	struct error err;

	begin();
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 1) == 0);
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	run_endpoint(&service, AF_INET, false, RUN_PORT + 1, 0);
	CHECK_EQ(parking_open(&parking, &service, &err), -EADDRINUSE);
	CHECK_EQ(parking.fds[0], -EADDRINUSE);
	CHECK(parking.fds[1] >= 0);
	close(fd);
	fd = -1;
	open_parking();
	CHECK(parking.fds[0] >= 0);
}

static void give_up(struct bed *bed)
{
	struct run_worker worker;
	struct error err;
	int clients[7];

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	open_parking();
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = connected(0);
	CHECK_EQ(parking_give_up(&parking, &service, &err), ARRAY_SIZE(clients));
	CHECK(parking.closed);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		CHECK_COMES(is_reset(clients[i]));
		close(clients[i]);
	}
	CHECK_EQ(run_connect(endpoint(0)), -ECONNREFUSED);
	CHECK_EQ(parking_give_up(&parking, &service, &err), 0);
	open_parking();
	CHECK(!parking.closed);
	clients[0] = connected(0);
	run_send(clients[0], 9);
	CHECK_EQ(run_admit(&service, &parking, 0, &worker), 1);
	CHECK_EQ(run_answer(clients[0], NULL), 9);
	check_clean();
}

/* The parking listener takes nothing while somebody lives, also if that one isn't in the ring. */
static void not_while_one_lives(struct bed *bed)
{
	struct run_worker workers[2];
	struct error err;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	open_parking();
	CHECK_EQ(run_admit(&service, &parking, 0, &workers[0]), 0);
	CHECK_EQ(run_admit(&service, &parking, 3, &workers[1]), 0);
	for (unsigned int i = 0; i < 5; i++)
		CHECK(visit(0) != visit(0));
	run_kill(workers[0].pid);
	for (unsigned int i = 0; i < 10; i++)
		CHECK_EQ(visit(0), workers[1].pid);
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 0);
	CHECK_EQ(slot_replace_vacate(&service, 3, &err), 0);
	close(connected(0));
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 1);
}

/* Clients that connect all the time, and want their answers. Each ends when it is told to, or at
 * its first failure; its status tells which. */
static atomic_bool *end; /* shared with them */

static void start_clients(pid_t *pids, unsigned int n)
{
	const struct rpd_endpoint to = *endpoint(0);

	end = mmap(NULL, sizeof(*end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(end != MAP_FAILED);
	for (unsigned int i = 0; i < n; i++) {
		pids[i] = run_fork(-1);
		while (pids[i] == 0) {
			int fd = run_connect(&to);

			if (fd < 0)
				_exit(1);
			if (send(fd, "hello\n", 6, MSG_NOSIGNAL) != 6)
				_exit(2);
			if (run_answer(fd, NULL) != 6)
				_exit(3);
			if (*end)
				_exit(0);
		}
	}
}

static void end_clients(pid_t *pids, unsigned int n)
{
	*end = true;
	for (unsigned int i = 0; i < n; i++) {
		siginfo_t how = {};

		CHECK_EQ(waitid(P_PID, (id_t)pids[i], &how, WEXITED | WNOWAIT), 0);
		CHECK_EQ(how.si_code, CLD_EXITED);
		CHECK_EQ(how.si_status, 0);
		run_kill(pids[i]);
	}
	munmap(end, sizeof(*end));
}

static bool is_idle(uint16_t account)
{
	uint64_t held;

	return generation_open_connections(&service, account, &held) && held == 0;
}

/* One worker that is stopped before the next one is started, again and again, under load: nobody
 * is refused or reset. */
static void one_worker_in_place(struct bed *bed)
{
	struct run_worker worker, next;
	struct rpd_worker row;
	pid_t clients[4];
	struct error err;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	open_parking();
	run_admit(&service, &parking, 0, &worker);
	start_clients(clients, ARRAY_SIZE(clients));
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t cookie = worker.listeners[0].cookie, under_way = 1;

		CHECK_EQ(steer_workers_get(&service.steer, 0, &row), 0);
		CHECK_EQ(slot_replace_vacate(&service, 0, &err), 0);
		CHECK_COMES(generation_handshakes(&service, &cookie, 1, &under_way) &&
		            under_way == 0);
		CHECK_COMES(is_idle(row.account));
		run_kill(worker.pid);
		CHECK_COMES(parking_queued(&parking) > 0);
		CHECK(run_admit(&service, &parking, 0, &next) > 0);
		worker = next;
	}
	end_clients(clients, ARRAY_SIZE(clients));
	CHECK_EQ(count(RPD_ROW_NONE, RPD_OUTCOME_dropped), 0);
	check_clean();
}

/* The supervisor is killed. Without a worker who waits is reset; with one he is served. */
static void killed_supervisor(struct bed *bed, bool lives)
{
	struct run_worker worker;
	struct error err;
	pid_t supervisor;
	int client;

	begin();
	run_endpoint(&service, AF_INET, false, RUN_PORT, 0);
	run_start(&service, 1, &worker);
	service_close(&service);
	supervisor = run_fork(-1);
	if (supervisor == 0) {
		if (service_open(&service, RUN_NAME, &err) < 0 ||
		    service_supervisor_become(&service, &err) < 0 ||
		    parking_open(&parking, &service, &err) < 0)
			_exit(1);
		service_close(&service);
		for (;;)
			pause();
	}
	/* It has parked when it has let go of the lock. */
	do {
		run_reopen(&service);
	} while (service.steer.service->supervisor_pid != (uint32_t)supervisor);
	CHECK_EQ(service_supervisor_pid(&service), supervisor);
	client = connected(0);
	run_send(client, 6);
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 1);
	if (lives)
		CHECK_EQ(slot_replace_worker(&service, 0, &worker.newcomer, NULL, "test", &err), 0);
	service_close(&service);
	run_kill(supervisor);
	if (lives) {
		CHECK_EQ(run_answer(client, NULL), 6);
	} else {
		CHECK_COMES(is_reset(client));
		close(client);
	}
	CHECK_EQ(run_create(&service, &err), 1);
	CHECK_EQ(service_supervisor_pid(&service), getpid());
	open_parking();
	if (lives)
		CHECK_EQ(visit(0), worker.pid);
	else
		close(connected(0));
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), lives ? 1 : 2);
}

static void killed_with_nobody(struct bed *bed)
{
	killed_supervisor(bed, false);
}

static void killed_with_a_worker(struct bed *bed)
{
	killed_supervisor(bed, true);
}

/* How those are woken whom the kernel doesn't wake: by a connection, to the very worker. */
static void knocks(struct bed *bed)
{
	struct run_worker workers[2];
	struct rpd_probe source;

	begin();
	run_endpoint(&service, AF_INET6, false, RUN_PORT, 0);
	open_parking();
	run_admit(&service, &parking, 0, &workers[0]);
	run_admit(&service, &parking, 1, &workers[1]);
	for (unsigned int i = 0; i < 3; i++) {
		int fd = probe_socket_open(endpoint(0), &source);

		CHECK(fd >= 0);
		CHECK_EQ(steer_probes_set(&service.steer, &source, 1), 0);
		probe_socket_knock(endpoint(0), fd);
		CHECK_EQ(steer_probes_remove(&service.steer, &source), 0);
	}
	CHECK_EQ(count(1, RPD_OUTCOME_probed), 3);
	CHECK_EQ(count(0, RPD_OUTCOME_probed), 0);
	check_clean();
}

int main(void)
{
	static const struct check_case cases[] = {
	        {"all_kinds", all_kinds},
	        {"are_counted", are_counted},
	        {"other_user", other_user},
	        {"port_taken", port_taken},
	        {"give_up", give_up},
	        {"not_while_one_lives", not_while_one_lives},
	        {"one_worker_in_place", one_worker_in_place},
	        {"killed_with_nobody", killed_with_nobody},
	        {"killed_with_a_worker", killed_with_a_worker},
	        {"knocks", knocks},
	};

	service_init(&service);
	parking_init(&parking);
	return check_run(cases, ARRAY_SIZE(cases));
}
