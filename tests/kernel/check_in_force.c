/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/in_force, kern/groups and service/in_force_restore: which program a group has, and ours put
 * back. Needs root. */
#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "beds/run_client.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "kern/proc.h"
#include "reuseportd/guard_abi.h"
#include "service/in_force_restore.h"
#include "service/service_endpoint.h"
#include "service/service_in_force.h"

static struct run_worker workers[2];
static unsigned int n_said;

static void say(const char *line, void *data)
{
	n_said++;
}

static struct in_force_restore_report report;

/* A service with two endpoints and two workers. */
static void begin(void)
{
	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET6, true, RUN_SERVICE_PORT, 0);
	for (unsigned int slot = 0; slot < ARRAY_SIZE(workers); slot++)
		run_worker_admit(slot, &workers[slot]);
	report = (struct in_force_restore_report){.say = say};
	n_said = 0;
}

static enum in_force_state state_of(unsigned int e)
{
	struct in_force found;

	service_in_force_read(&run_service, &found);
	CHECK_EQ(found.n, 2);
	return found.state[e];
}

static int borrow(unsigned int slot)
{
	struct error err;

	return proc_duplicate_fd(workers[slot].newcomer.owner.id.pid, workers[slot].newcomer.fds[0],
	                         0, &err);
}

/* What any process that has the listener may do. */
static void attach_classic(unsigned int slot)
{
	struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	const struct sock_fprog program = {1, first};
	_cleanup_close_ int fd = borrow(slot);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, GUARD_ATTACH_CBPF, &program, sizeof(program)), 0);
}

static int restore(void)
{
	struct in_force found;
	struct error err;

	service_in_force_read(&run_service, &found);
	return in_force_restore(&run_service, &found, NULL, &report, &err);
}

static void program_is_ours(void)
{
	struct error err;

	begin();
	CHECK_EQ(state_of(0), IN_FORCE_OURS);
	CHECK_EQ(state_of(1), IN_FORCE_OURS);
	CHECK_EQ(service_in_force_require(&run_service, &err), 0);
	CHECK_EQ(restore(), 0);
}

static void program_is_put_back(void)
{
	struct in_force found;
	char text[IN_FORCE_TEXT_MAX];
	struct error err;
	uint64_t cookies[2];

	begin();
	for (int i = 0; i < 2; i++)
		cookies[i] = workers[0].newcomer.listeners[i]->cookie;
	attach_classic(1);
	CHECK_EQ(state_of(0), IN_FORCE_REPLACED);
	CHECK_EQ(state_of(1), IN_FORCE_OURS);
	service_in_force_read(&run_service, &found);
	CHECK(!strcmp(in_force_describe(&found, 0, text), "a classic BPF program"));
	CHECK_EQ(service_in_force_require(&run_service, &err), -EBUSY);
	CHECK(strstr(err.text, "classic") && strstr(err.text, "supervisor"));
	CHECK_EQ(service_in_force_check_listeners(&run_service, cookies, 2, &err), -EBUSY);
	CHECK_EQ(service_in_force_check_listeners(&run_service, cookies + 1, 1, &err), 0);
	CHECK_EQ(restore(), 1);
	CHECK_EQ(state_of(0), IN_FORCE_OURS);
	CHECK_EQ(service_in_force_check_listeners(&run_service, cookies, 2, &err), 0);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(run_client_visit(0), workers[i % 2].pid);
}

/* A program that is replaced over and over is logged once. */
static void put_back_again_and_again(void)
{
	begin();
	for (int i = 0; i < 10; i++) {
		attach_classic(0);
		CHECK_EQ(restore(), 1);
	}
	CHECK_EQ(n_said, 1);
}

static void detached_program(void)
{
	_cleanup_close_ int fd = -1;

	begin();
	fd = borrow(0);
	CHECK_EQ(steer_detach(&run_service.steer, fd), 0);
	CHECK_EQ(state_of(0), IN_FORCE_DETACHED);
	CHECK_EQ(restore(), 1);
	CHECK_EQ(state_of(0), IN_FORCE_OURS);
}

/* A listener that refuses further programs does not keep ours away. */
static void locked_listener(void)
{
	const int on = 1;
	struct error err;

	for (unsigned int locked = 0; locked < 2; locked++) {
		_cleanup_close_ int fd = -1;

		if (locked == 0)
			begin();
		attach_classic(1);
		fd = borrow(0);
		CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)), 0);
		CHECK_EQ(steer_attach(&run_service.steer, 0, fd), -EPERM);
		CHECK_EQ(restore(), 1);
		CHECK_EQ(state_of(0), IN_FORCE_OURS);
	}
	attach_classic(1);
	{
		_cleanup_close_ int fd = borrow(1);

		CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)), 0);
	}
	CHECK_EQ(service_endpoint_attach(&run_service, 0, &err), -EPERM);
	CHECK_EQ(restore(), -EPERM);
	CHECK_EQ(state_of(0), IN_FORCE_REPLACED);
}

static void without_listeners(void)
{
	begin();
	run_worker_kill(workers[0].pid);
	run_worker_kill(workers[1].pid);
	CHECK_EQ(state_of(0), IN_FORCE_UNUSED);
	CHECK_EQ(restore(), 0);
	groups_close(&run_service.groups);
	CHECK_EQ(state_of(0), IN_FORCE_UNKNOWN);
	CHECK_EQ(restore(), 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(program_is_ours),          CHECK_CASE(program_is_put_back),
	        CHECK_CASE(put_back_again_and_again), CHECK_CASE(detached_program),
	        CHECK_CASE(locked_listener),          CHECK_CASE(without_listeners),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
