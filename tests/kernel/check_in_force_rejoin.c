/* SPDX-License-Identifier: BSD-2-Clause */
/* service/in_force_rejoin without the iterator: SO_REUSEPORT is turned on through the processes
 * that have the listeners open. Needs root. */
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "kern/proc.h"
#include "service/in_force_restore.h"
#include "service/service_in_force.h"

static struct run_worker workers[2];
static char said[4096];

static void say(const char *line, void *data)
{
	strncat(said, line, sizeof(said) - strlen(said) - 1);
}

static struct in_force_restore_report report;

/* Turns the capabilities that the iterator needs on or off. */
static void set_capabilities(bool on)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const unsigned int needed[] = {CAP_SYS_ADMIN, CAP_PERFMON};

	CHECK_EQ(syscall(SYS_capget, &header, data), 0);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		data[CAP_TO_INDEX(needed[i])].effective &= ~CAP_TO_MASK(needed[i]);
		if (on)
			data[CAP_TO_INDEX(needed[i])].effective |= CAP_TO_MASK(needed[i]);
	}
	CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}

static int restore_without_iterator(void)
{
	struct error err;
	int r;

	said[0] = '\0';
	set_capabilities(false);
	r = in_force_restore_once(&run_service, &report, &err);
	set_capabilities(true);
	return r;
}

static bool is_avoided(unsigned int e)
{
	struct in_force found;

	service_in_force_read(&run_service, &found);
	return found.avoided[e];
}

/* The worker turns SO_REUSEPORT of its listener off. */
static void turn_off(unsigned int slot, unsigned int e)
{
	const int off = 0;
	struct error err;
	_cleanup_close_ int fd = proc_duplicate_fd(workers[slot].newcomer.owner.id.pid,
	                                           workers[slot].newcomer.fds[e], 0, &err);

	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof(off)), 0);
}

static void begin(void)
{
	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_service_add(AF_INET6, true, RUN_SERVICE_PORT + 1, 0);
	for (unsigned int slot = 0; slot < ARRAY_SIZE(workers); slot++)
		run_worker_admit(slot, &workers[slot]);
	report = (struct in_force_restore_report){.say = say};
}

static void through_the_processes(void)
{
	char whose[64];

	begin();
	turn_off(0, 0);
	turn_off(1, 0);
	turn_off(1, 1);
	CHECK_EQ(restore_without_iterator(), 2);
	snprintf(whose, sizeof(whose), "of a listener of pid %u was off", workers[1].pid);
	CHECK_MSG(strstr(said, whose) && strstr(said, "it is on again"), "%s", said);
	CHECK_MSG(!strstr(said, "can't be turned on"), "%s", said);
	CHECK(!is_avoided(0) && !is_avoided(1));
	turn_off(0, 0);
	CHECK_EQ(restore_without_iterator(), 1);
	CHECK(!is_avoided(0));
}

/* No process has the listener open. */
static void hidden_listener(void)
{
	int pair[2], fd;
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
	struct error err;

	begin();
	turn_off(0, 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fd = proc_duplicate_fd(workers[0].newcomer.owner.id.pid, workers[0].newcomer.fds[0], 0,
	                       &err);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
	close(fd);
	run_worker_kill(workers[0].pid);
	CHECK_EQ(restore_without_iterator(), 0);
	CHECK_MSG(strstr(said, "can't be turned on again: that needs Linux 5.15"), "%s", said);
	CHECK(is_avoided(0));
	CHECK(report.failed_at);
	close(pair[0]);
	close(pair[1]);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(through_the_processes),
	        CHECK_CASE(hidden_listener),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
