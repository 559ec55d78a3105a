/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/groups: the iterator over the listeners finds that the worker of a slot serves its listener,
 * exactly if the slot's row names the process, its start, and both of its descriptors. Pins that
 * can't be made, or are gone. */
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "kern/groups.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/observe.h"

static uint64_t cookie_of(unsigned int slot)
{
	return steer_socks_cookie(&run_service.steer, 0, slot);
}

static bool is_served(uint64_t cookie)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	const struct rpd_group_member *row;
	struct error err;
	size_t n;

	CHECK_MSG(groups_read(&run_service.groups, &rows, &n, &err) == 0, "%s", err.text);
	row = groups_find(rows, n, cookie);
	CHECK(row);
	return row->served;
}

/* Two slots, with a worker in each. */
static void begin(struct run_worker workers[2])
{
	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	for (unsigned int slot = 0; slot < 2; slot++)
		run_worker_admit(slot, &workers[slot]);
	if (!is_served(cookie_of(0)) && !is_served(cookie_of(1)))
		check_skip("the kernel has no bpf_task_from_vpid()"); /* before Linux 6.14 */
}

static void set_row(unsigned int slot, const struct rpd_worker *row)
{
	CHECK_EQ(steer_workers_set(&run_service.steer, slot, row), 0);
}

static void only_the_named_process(void)
{
	struct rpd_worker right, other, row;
	struct run_worker workers[2];

	begin(workers);
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &right), 0);
	CHECK_EQ(steer_workers_get(&run_service.steer, 1, &other), 0);
	CHECK(right.fd >= 0 && right.epfd >= 0);
	for (unsigned int i = 0; i < 8; i++) {
		row = right;
		row.pid = i == 0 ? other.pid : row.pid;
		row.start_time += i == 1;
		row.fd += i == 2;
		row.fd = i == 3 ? row.epfd : row.fd;
		row.fd = i == 4 ? 1 << 30 : row.fd;
		row.epfd += i == 5;
		row.epfd = i == 6 ? row.fd : row.epfd;
		row.pid = i == 7 ? 0 : row.pid;
		set_row(0, &row);
		CHECK_MSG(!is_served(cookie_of(0)), "change %u", i);
		CHECK(is_served(cookie_of(1)));
	}
	row = right;
	row.epfd = -1; /* the worker does not wait by epoll */
	set_row(0, &row);
	CHECK(is_served(cookie_of(0)));
	set_row(0, &right);
	CHECK(is_served(cookie_of(0)));
}

/* The listener of a former worker is a member still, of the same slot. */
static void former_worker(void)
{
	struct run_worker workers[2], newcomer;
	uint64_t former;

	begin(workers);
	former = cookie_of(0);
	run_worker_admit(0, &newcomer);
	CHECK(!is_served(former));
	CHECK(is_served(cookie_of(0)));
}

/* What the iterator does not find is looked up in /proc: a listener that another process serves. */
static void observe_corrects_the_row(void)
{
	struct run_worker workers[2];
	_cleanup_observed_ struct observed o = {};
	struct rpd_worker right, row;
	struct error err;

	begin(workers);
	CHECK_EQ(steer_workers_get(&run_service.steer, 0, &right), 0);
	row = right;
	row.pid = (uint32_t)getpid();
	set_row(0, &row);
	CHECK_MSG(observe(&run_service, OBSERVE_KNOWN, &o, &err) == 0, "%s", err.text);
	CHECK(o.slots[0].stalled || o.slots[0].worker->pid == right.pid);
	CHECK(!o.slots[1].stalled);
}

/* --- pins */

static void unpin(const char *name)
{
	char path[PATH_MAX];

	CHECK_EQ(unlink(pins_path(&run_service.pins, name, path)), 0);
}

/* The second program can't be pinned: the first one is not left alone, and the next try succeeds.
 */
static void second_pin_fails(void)
{
	struct groups groups;

	run_service_begin();
	unpin("mark");
	cleanup_close(&run_service.steer.mark_fd);
	run_service.steer.mark_fd = -1;
	groups_init(&groups);
	groups_attach(&groups, &run_service.steer, &run_service.pins);
	CHECK(!groups_are_known(&groups));
	CHECK_EQ(run_service.steer.mark_fd, -1);
	unpin("groups");
	groups_attach(&groups, &run_service.steer, &run_service.pins);
	CHECK(groups_are_known(&groups));
	CHECK(run_service.steer.mark_fd >= 0);
	groups_close(&groups);
}

/* What is opened again takes the place of what was open. */
static void opened_again(void)
{
	int before;

	run_service_begin();
	unpin("groups");
	groups_close(&run_service.groups);
	before = run_service.steer.mark_fd;
	groups_open(&run_service.groups, &run_service.steer, &run_service.pins);
	CHECK(!groups_are_known(&run_service.groups));
	CHECK(run_service.steer.mark_fd >= 0);
	CHECK(run_service.steer.mark_fd == before || fcntl(before, F_GETFD) < 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(only_the_named_process),
	        CHECK_CASE(former_worker),
	        CHECK_CASE(observe_corrects_the_row),
	        CHECK_CASE(second_pin_fails),
	        CHECK_CASE(opened_again),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
