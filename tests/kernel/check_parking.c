/* SPDX-License-Identifier: BSD-2-Clause */
/* supervise/parking: while no worker lives, connections are held, whatever the client does. The
 * next worker gets each of them, with all that the client has sent. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/children.h"
#include "beds/run_client.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "core/conn_count.h"
#include "kern/conns.h"
#include "kern/own_listener.h"
#include "kern/probe_socket.h"
#include "kern/steer_counters.h"
#include "kern/steer_probes.h"
#include "kern/steer_workers.h"
#include "service/generation.h"
#include "service/observe.h"
#include "service/service_supervisor.h"
#include "service/slot_replace.h"

#define EACH   5
#define MUCH   100000
#define NOBODY 65534 /* a uid */

static void open_parking(void)
{
	struct error err;

	CHECK_MSG(parking_open(&run_parking, &run_service, &err) >= 0, "%s", err.text);
}

/* The number of connections that wait. */
static unsigned int queued(void)
{
	unsigned int n = 0;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (run_parking.fds[e] >= 0)
			n += own_listener_queue_length(run_parking.fds[e]);
	return n;
}

static uint64_t count(unsigned int row, enum rpd_outcome outcome)
{
	static struct counters rows[RPD_ROW_MAX];
	struct error err;

	CHECK_EQ(steer_counters_read(&run_service.steer, rows, &err), 0);
	return rows[row].of[outcome];
}

static uint64_t open_in(uint16_t account)
{
	struct conn_count counted;

	CHECK_EQ(conns_read_count(&run_service.steer, account, &counted), 0);
	return conn_count_still_open(&counted);
}

/* No view shows the supervisor's listeners, and no connection is left. */
static void check_clean(void)
{
	_cleanup_observed_ struct observed o = {};
	struct error err;

	CHECK_EQ(observe(&run_service, OBSERVE_KNOWN, &o, &err), 0);
	CHECK_EQ(o.n_foreign, 0);
	CHECK_EQ(o.n_parked, 0);
	CHECK_UNTIL(open_in(RPD_ACCOUNT_PARKED) == 0);
	CHECK_UNTIL(open_in(0) == 0);
}

static void clients_of_all_kinds(void)
{
	int quiet[EACH], small[EACH], big[EACH], half[EACH];
	struct run_worker worker;
	uint64_t held;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	open_parking();
	for (unsigned int i = 0; i < EACH; i++) {
		quiet[i] = run_client_open(0);
		small[i] = run_client_open(0);
		run_client_send(small[i], 10 + i);
		big[i] = run_client_open(0);
		run_client_send(big[i], MUCH + i);
		half[i] = run_client_open(0);
		CHECK_EQ(send(half[i], "abc", 3, 0), 3);
		shutdown(half[i], SHUT_WR);
		close(run_client_open(0));
		run_client_reset(run_client_open(0));
	}
	CHECK_EQ(queued(), 6 * EACH);
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 6 * EACH);
	CHECK_EQ(run_worker_admit(2, &worker), 6 * EACH);
	CHECK_EQ(queued(), 0);
	CHECK_EQ(count(2, RPD_OUTCOME_migrated), 6 * EACH);
	for (unsigned int i = 0; i < EACH; i++) {
		run_client_send(quiet[i], 7);
		CHECK_EQ(run_client_answer(quiet[i], NULL), 7);
		CHECK_EQ(run_client_answer(small[i], NULL), 10 + i);
		CHECK_EQ(run_client_answer(big[i], NULL), MUCH + i);
		CHECK_EQ(run_client_answer(half[i], NULL), 3);
	}
	CHECK_EQ(run_client_visit(0), worker.pid);
	CHECK_EQ(count(2, RPD_OUTCOME_steered), 1);
	CHECK_EQ(count(RPD_ROW_NONE, RPD_OUTCOME_dropped), 0);
	check_clean();
	CHECK(generation_open_connections(&run_service, 2, &held));
	CHECK_UNTIL(generation_open_connections(&run_service, 2, &held) && held == 0);
}

/* A parked connection counts as the worker's once it is handed over. */
static void parked_connections_are_counted(void)
{
	struct run_worker worker;
	uint64_t held = 0;
	int clients[8];

	run_service_begin();
	run_service_add(AF_INET6, false, RUN_SERVICE_PORT, 0);
	open_parking();
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = run_client_open(0);
	CHECK_EQ(open_in(RPD_ACCOUNT_PARKED), ARRAY_SIZE(clients));
	CHECK_EQ(run_worker_admit(0, &worker), ARRAY_SIZE(clients));
	CHECK_EQ(open_in(RPD_ACCOUNT_PARKED), 0);
	CHECK(generation_open_connections(&run_service, 0, &held));
	CHECK_EQ(held, ARRAY_SIZE(clients));
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		run_client_send(clients[i], 5);
		CHECK_EQ(run_client_answer(clients[i], NULL), 5);
	}
	check_clean();
}

/* Two families, two ports, and workers of another user than the supervisor. */
static void workers_of_another_user(void)
{
	struct run_worker worker;
	int clients[3];

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, NOBODY);
	run_service_add(AF_INET6, true, RUN_SERVICE_PORT, NOBODY);
	run_service_add(AF_INET6, false, RUN_SERVICE_PORT + 1, NOBODY);
	open_parking();
	for (unsigned int e = 0; e < 3; e++) {
		clients[e] = run_client_open(e);
		run_client_send(clients[e], 20 + e);
	}
	CHECK_EQ(run_worker_admit(1, &worker), 3);
	for (unsigned int e = 0; e < 3; e++)
		CHECK_EQ(run_client_answer(clients[e], NULL), 20 + e);
	for (unsigned int e = 0; e < 3; e++)
		CHECK_EQ(run_client_visit(e), worker.pid);
	check_clean();
}

/* A program that does not share the port. */
static void port_taken_by_another_program(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(RUN_SERVICE_PORT)};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;
	struct error err;

	run_service_begin();
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 1) == 0);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET, false, RUN_SERVICE_PORT + 1, 0);
	CHECK_EQ(parking_open(&run_parking, &run_service, &err), -EADDRINUSE);
	CHECK_EQ(run_parking.fds[0], -EADDRINUSE);
	CHECK(run_parking.fds[1] >= 0);
	close(fd);
	fd = -1;
	open_parking();
	CHECK(run_parking.fds[0] >= 0);
}

static void give_up_resets_clients(void)
{
	struct run_worker worker;
	struct error err;
	int clients[7];

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	open_parking();
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = run_client_open(0);
	CHECK_EQ(parking_give_up(&run_parking, &run_service, 0, &err), ARRAY_SIZE(clients));
	CHECK(run_parking.closed[0]);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		CHECK_UNTIL(run_client_is_reset(clients[i]));
		close(clients[i]);
	}
	CHECK_EQ(run_client_connect(run_service_endpoint(0)), -ECONNREFUSED);
	CHECK_EQ(parking_give_up(&run_parking, &run_service, 0, &err), 0);
	open_parking();
	CHECK(!run_parking.closed[0]);
	clients[0] = run_client_open(0);
	run_client_send(clients[0], 9);
	CHECK_EQ(run_worker_admit(0, &worker), 1);
	CHECK_EQ(run_client_answer(clients[0], NULL), 9);
	check_clean();
}

/* The parking listener gets nothing while a worker lives, even one that is not in the ring. */
static void no_parking_while_a_worker_lives(void)
{
	struct run_worker workers[2];
	struct error err;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	open_parking();
	CHECK_EQ(run_worker_admit(0, &workers[0]), 0);
	CHECK_EQ(run_worker_admit(3, &workers[1]), 0);
	for (unsigned int i = 0; i < 5; i++)
		CHECK(run_client_visit(0) != run_client_visit(0));
	run_worker_kill(workers[0].pid);
	for (unsigned int i = 0; i < 10; i++)
		CHECK_EQ(run_client_visit(0), workers[1].pid);
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 0);
	CHECK_EQ(slot_replace_vacate(&run_service, 3, &err), 0);
	close(run_client_open(0));
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 1);
}

/* Clients that connect without pause and wait for their answers. A client exits on request or at
 * its first failure; its exit status says why. */
static atomic_bool *end; /* shared with them */

static void start_clients(pid_t *pids, unsigned int n)
{
	const struct rpd_endpoint to = *run_service_endpoint(0);

	end = mmap(NULL, sizeof(*end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(end != MAP_FAILED);
	for (unsigned int i = 0; i < n; i++) {
		pids[i] = run_worker_fork(-1);
		while (pids[i] == 0) {
			int fd = run_client_connect(&to);

			if (fd < 0)
				_exit(1);
			if (send(fd, "hello\n", 6, MSG_NOSIGNAL) != 6)
				_exit(2);
			if (run_client_answer(fd, NULL) != 6)
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
		run_worker_kill(pids[i]);
	}
	munmap(end, sizeof(*end));
}

static bool is_idle(uint16_t account)
{
	uint64_t held;

	return generation_open_connections(&run_service, account, &held) && held == 0;
}

/* The only worker is stopped before the next one is started, again and again, under load: no client
 * is refused or reset. */
static void one_worker_replaced_in_place(void)
{
	struct run_worker worker, next;
	struct rpd_worker row;
	pid_t clients[4];
	struct error err;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	open_parking();
	run_worker_admit(0, &worker);
	start_clients(clients, ARRAY_SIZE(clients));
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t cookie = worker.listeners[0].cookie, under_way = 1;

		CHECK_EQ(steer_workers_get(&run_service.steer, 0, &row), 0);
		CHECK_EQ(slot_replace_vacate(&run_service, 0, &err), 0);
		CHECK_UNTIL(generation_handshakes(&run_service, &cookie, 1, &under_way) &&
		            under_way == 0);
		CHECK_UNTIL(is_idle(row.account));
		run_worker_kill(worker.pid);
		CHECK_UNTIL(queued() > 0);
		CHECK(run_worker_admit(0, &next) > 0);
		worker = next;
	}
	end_clients(clients, ARRAY_SIZE(clients));
	CHECK_EQ(count(RPD_ROW_NONE, RPD_OUTCOME_dropped), 0);
	check_clean();
}

/* The supervisor is killed. Its parked clients are served if a worker lives, and reset otherwise.
 */
static void killed_supervisor(bool lives)
{
	struct run_worker worker;
	struct error err;
	pid_t supervisor;
	int client;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_worker_start(1, &worker);
	supervisor = run_service_other_supervisor(true);
	CHECK_EQ(service_supervisor_pid(&run_service), supervisor);
	client = run_client_open(0);
	run_client_send(client, 6);
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), 1);
	if (lives)
		CHECK_EQ(slot_replace_worker(&run_service, 0, &worker.newcomer, NULL, "test", &err),
		         0);
	service_close(&run_service);
	run_worker_kill(supervisor);
	if (lives) {
		CHECK_EQ(run_client_answer(client, NULL), 6);
	} else {
		CHECK_UNTIL(run_client_is_reset(client));
		close(client);
	}
	CHECK_EQ(run_service_create(&err), 1);
	CHECK_EQ(service_supervisor_pid(&run_service), getpid());
	open_parking();
	if (lives)
		CHECK_EQ(run_client_visit(0), worker.pid);
	else
		close(run_client_open(0));
	CHECK_EQ(count(RPD_ROW_PARKING, RPD_OUTCOME_parked), lives ? 1 : 2);
}

static void supervisor_killed_without_worker(void)
{
	killed_supervisor(false);
}

static void supervisor_killed_with_a_worker(void)
{
	killed_supervisor(true);
}

/* A worker that the kernel does not wake for a migrated connection is woken by a new one, to that
 * very worker. */
static void knock_reaches_its_worker(void)
{
	struct run_worker workers[2];
	struct rpd_probe source;

	run_service_begin();
	run_service_add(AF_INET6, false, RUN_SERVICE_PORT, 0);
	open_parking();
	run_worker_admit(0, &workers[0]);
	run_worker_admit(1, &workers[1]);
	for (unsigned int i = 0; i < 3; i++) {
		int fd = probe_socket_open(run_service_endpoint(0), &source);

		CHECK(fd >= 0);
		CHECK_EQ(steer_probes_set(&run_service.steer, &source, 1), 0);
		probe_socket_knock(run_service_endpoint(0), fd);
		CHECK_EQ(steer_probes_remove(&run_service.steer, &source), 0);
	}
	CHECK_EQ(count(1, RPD_OUTCOME_probed), 3);
	CHECK_EQ(count(0, RPD_OUTCOME_probed), 0);
	check_clean();
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(clients_of_all_kinds),
	        CHECK_CASE(parked_connections_are_counted),
	        CHECK_CASE(workers_of_another_user),
	        CHECK_CASE(port_taken_by_another_program),
	        CHECK_CASE(give_up_resets_clients),
	        CHECK_CASE(no_parking_while_a_worker_lives),
	        CHECK_CASE(one_worker_replaced_in_place),
	        CHECK_CASE(supervisor_killed_without_worker),
	        CHECK_CASE(supervisor_killed_with_a_worker),
	        CHECK_CASE(knock_reaches_its_worker),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
