/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/in_force, kern/groups and service/in_force_restore: which program a group has, and ours put
 * back. Needs root. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/run_client.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "kern/groups.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/steer_members.h"
#include "reuseportd/guard_abi.h"
#include "service/in_force_restore.h"
#include "service/service_endpoint.h"
#include "service/service_in_force.h"
#include "service/slot_replace.h"

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

static bool is_avoided(unsigned int e)
{
	struct in_force found;

	service_in_force_read(&run_service, &found);
	return found.avoided[e];
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
	struct error err;

	return in_force_restore_once(&run_service, &report, &err);
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

/* What the memory of a closed listener may have in the place of an id. */
static void number_of_no_program(void)
{
	const struct rpd_group_member row = {.cookie = 1, .program = 0x7fffffff};
	struct in_force found;
	char text[IN_FORCE_TEXT_MAX];

	begin();
	in_force_take(&row, 1, &run_service.steer, &found);
	CHECK_EQ(found.state[0], IN_FORCE_UNKNOWN);
	CHECK(!strcmp(in_force_describe_row(&row, 1, text), "an unknown program"));
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

static void set_reuseport(int fd, int on)
{
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
}

/* The workers turn SO_REUSEPORT off: the one that the kernel comes to first gets all connections.
 */
static void listeners_avoid_the_program(void)
{
	struct error err;
	uint64_t cookie;

	begin();
	cookie = workers[0].newcomer.listeners[0]->cookie;
	for (unsigned int slot = 0; slot < ARRAY_SIZE(workers); slot++) {
		_cleanup_close_ int fd = borrow(slot);

		set_reuseport(fd, 0);
	}
	CHECK_EQ(run_client_visit(0), run_client_visit(0));
	CHECK(is_avoided(0));
	CHECK(!is_avoided(1));
	CHECK_EQ(service_in_force_require(&run_service, &err), -EBUSY);
	CHECK(strstr(err.text, "SO_REUSEPORT off"));
	CHECK_EQ(service_in_force_require_program(&run_service, &err), 0);
	CHECK_EQ(service_in_force_check_listeners(&run_service, &cookie, 1, &err), -EBUSY);
	CHECK_EQ(in_force_restore_all(&run_service, &report, &err), 1);
	CHECK_EQ(n_said, 1);
	CHECK(!is_avoided(0));
	CHECK(run_client_visit(0) != run_client_visit(0));
}

static int open_listener(unsigned int address_of_loopback)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
	                                    .sin_port = htons(RUN_SERVICE_PORT),
	                                    .sin_addr.s_addr = htonl(address_of_loopback)};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	CHECK(fd >= 0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	set_reuseport(fd, 1);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	return fd;
}

/* The same by a listener that is in no slot, behind thousands of others. */
static void foreign_listener_avoids_the_program(void)
{
	enum { FOREIGN = 5000 };
	int fds[FOREIGN];

	begin();
	for (int i = 0; i < FOREIGN; i++)
		fds[i] = open_listener(INADDR_ANY);
	CHECK(!is_avoided(0));
	set_reuseport(fds[FOREIGN - 1], 0);
	CHECK(is_avoided(0));
	close(fds[FOREIGN - 1]);
	CHECK(!is_avoided(0));
	for (int i = 0; i < FOREIGN - 1; i++)
		close(fds[i]);
}

/* A process with listeners that have SO_REUSEPORT off: more than one reading shows. */
static void avoid_by_many(void)
{
	enum { MANY = 100 };
	int ready[2];
	pid_t child;
	char byte;

	CHECK_EQ(pipe(ready), 0);
	child = run_worker_fork(ready[1]);
	if (child == 0) {
		for (int i = 0; i < MANY; i++)
			set_reuseport(open_listener(INADDR_ANY), 0);
		(void)!write(STDIN_FILENO, "", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

/* One look finds all of them. */
static void many_listeners_avoid_the_program(void)
{
	struct error err;

	begin();
	avoid_by_many();
	CHECK(is_avoided(0));
	CHECK_EQ(in_force_restore_all(&run_service, &report, &err), 1);
	CHECK(!is_avoided(0));
	CHECK_EQ(n_said, 1);
}

/* Sends the listener, and closes it: a message that is not received has it then. */
static void hide(int to, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
	                        .cmsg_level = SOL_SOCKET,
	                        .cmsg_type = SCM_RIGHTS}};
	struct iovec part = {"", 1};
	const struct msghdr message = {.msg_iov = &part,
	                               .msg_iovlen = 1,
	                               .msg_control = control.buf,
	                               .msg_controllen = sizeof(control.buf)};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	CHECK_EQ(sendmsg(to, &message, 0), 1);
	close(fd);
}

/* A listener that no process has open avoids the program, and another program is in force. */
static void hidden_listener_avoids_the_program(void)
{
	int fd, pair[2];

	begin();
	fd = open_listener(INADDR_ANY);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK(restore() == 0 && !report.failed_at);
	set_reuseport(fd, 0);
	hide(pair[0], fd);
	attach_classic(1);
	CHECK(is_avoided(0));
	CHECK_EQ(state_of(0), IN_FORCE_REPLACED);
	CHECK_EQ(restore(), 2);
	CHECK_EQ(state_of(0), IN_FORCE_OURS);
	CHECK(!is_avoided(0));
	CHECK_EQ(n_said, 2);
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(run_client_visit(0), workers[i % 2].pid);
}

/* A worker that has locked its program gets its slot back while another listener avoids the
 * program, which is in force nevertheless. */
static void locked_listener_is_admitted_again(void)
{
	const int on = 1;
	struct run_worker next;
	struct error err;
	int fd;

	begin();
	run_worker_admit(0, &next);
	fd = borrow(0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)), 0);
	close(fd);
	fd = open_listener(INADDR_ANY);
	set_reuseport(fd, 0);
	CHECK(is_avoided(0));
	CHECK_EQ(slot_replace_worker(&run_service, 0, &workers[0].newcomer, NULL, "test", &err), 0);
	close(fd);
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

/* A listener is in order just when it is examined: it is changed the next time. */
static void listener_in_order_for_a_moment(void)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	_cleanup_close_ int fd = -1;
	struct error err;
	size_t n;

	begin();
	fd = borrow(0);
	set_reuseport(fd, 0);
	CHECK_EQ(groups_read(&run_service.groups, &rows, &n, &err), 0);
	set_reuseport(fd, 1);
	CHECK_EQ(in_force_restore(&run_service, rows, n, NULL, &report, &err), 0);
	CHECK_EQ(n_said, 0);
	set_reuseport(fd, 0);
	CHECK_EQ(restore(), 1);
	CHECK(!is_avoided(0));
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
	        CHECK_CASE(program_is_ours),
	        CHECK_CASE(program_is_put_back),
	        CHECK_CASE(number_of_no_program),
	        CHECK_CASE(put_back_again_and_again),
	        CHECK_CASE(detached_program),
	        CHECK_CASE(locked_listener),
	        CHECK_CASE(without_listeners),
	        CHECK_CASE(listeners_avoid_the_program),
	        CHECK_CASE(foreign_listener_avoids_the_program),
	        CHECK_CASE(many_listeners_avoid_the_program),
	        CHECK_CASE(hidden_listener_avoids_the_program),
	        CHECK_CASE(locked_listener_is_admitted_again),
	        CHECK_CASE(listener_in_order_for_a_moment),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
