/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf/group.bpf.c: the marks of the listeners, and the iterator that shows them. */
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "beds/run_service.h"
#include "beds/run_worker.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "group.skel.h"
#include "kern/groups.h"
#include "kern/sockdiag.h"
#include "kern/steer_members.h"

#define LISTS 16384 /* GROUP_LISTS of bpf/group.bpf.c */

static void begin(void)
{
	struct run_worker worker;

	run_service_begin();
	run_service_add(AF_INET, false, RUN_SERVICE_PORT, 0);
	run_worker_admit(0, &worker);
	if (!groups_are_known(&run_service.groups))
		check_skip("the kernel shows no groups");
}

static void mark(int fd)
{
	CHECK_EQ(steer_members_mark(&run_service.steer, fd), 0);
}

/* A listener on an address of its own, that is admitted. */
static int open_member(uint64_t *ret_cookie)
{
	const struct rpd_member member = {.account = RPD_ACCOUNT_NONE};
	struct rpd_endpoint e = socket_bed_loopback();
	int fd;

	e.addr[3] = 2;
	e.port = RUN_SERVICE_PORT;
	fd = socket_bed_listen_unkept(&e, 1);
	CHECK(fd >= 0);
	CHECK_EQ(sockdiag_socket_cookie(fd, ret_cookie), 0);
	CHECK_EQ(steer_members_set(&run_service.steer, *ret_cookie, &member), 0);
	mark(fd);
	return fd;
}

static size_t count_rows(uint64_t cookie)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	struct error err;
	size_t n_rows, n = 0;

	CHECK_EQ(groups_read(&run_service.groups, &rows, &n_rows, &err), 0);
	for (size_t i = 0; i < n_rows; i++)
		n += rows[i].cookie == cookie;
	return n;
}

static void open_and_close(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		uint64_t cookie;
		int fds[8];

		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			fds[i] = open_member(&cookie);
			steer_members_remove(&run_service.steer, cookie);
		}
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			close(fds[i]);
	}
}

/* The list has all listeners that stay open, while others open and close. */
static void list_while_others_close(void)
{
	enum { KEPT = 400, READS = 100 };
	uint64_t cookies[KEPT];
	int fds[KEPT], status, failed = 0, missing = 0;
	pid_t child;

	begin();
	for (int i = 0; i < KEPT; i++)
		fds[i] = open_member(&cookies[i]);
	child = fork();
	if (child == 0)
		open_and_close();
	for (int n = 0; n < READS; n++) {
		_cleanup_free_ struct rpd_group_member *rows = NULL;
		struct error err;
		size_t n_rows;

		failed += groups_read(&run_service.groups, &rows, &n_rows, &err) != 0;
		for (int i = 0; !failed && i < KEPT; i++)
			missing += !groups_find(rows, n_rows, cookies[i]);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	CHECK_EQ(failed, 0);
	CHECK_EQ(missing, 0);
	for (int i = 0; i < KEPT; i++)
		close(fds[i]);
}

/* A listener that has closed leaves its place to others. */
static void marks_are_used_again(void)
{
	enum { ROUNDS = 300, EACH = 8 };
	uint64_t cookie;
	size_t n_rows;

	begin();
	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_free_ struct rpd_group_member *rows = NULL;
		int fds[EACH];
		struct error err;

		for (size_t i = 0; i < EACH; i++)
			fds[i] = open_member(&cookie);
		CHECK_EQ(groups_read(&run_service.groups, &rows, &n_rows, &err), 0);
		CHECK_EQ(n_rows, 1 + EACH);
		for (size_t i = 0; i < EACH; i++)
			close(fds[i]);
	}
	CHECK(run_service.steer.control->n_marks < ROUNDS * EACH / 8);
}

/* Reads the variables of the program that marks. */
static void read_variables(struct group_bpf__bss *ret)
{
	uint32_t ids[16], zero = 0, size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = ARRAY_SIZE(ids), .map_ids = (uintptr_t)ids};
	bool found = false;

	CHECK_EQ(bpf_obj_get_info_by_fd(run_service.steer.mark_fd, &info, &size), 0);
	for (uint32_t i = 0; i < info.nr_map_ids && !found; i++) {
		_cleanup_close_ int fd = bpf_map_get_fd_by_id(ids[i]);
		struct bpf_map_info map = {};
		uint32_t map_size = sizeof(map);

		CHECK_EQ(bpf_obj_get_info_by_fd(fd, &map, &map_size), 0);
		if (strstr(map.name, ".bss")) {
			_cleanup_free_ void *value = calloc(1, map.value_size);

			CHECK(value && map.value_size >= sizeof(*ret));
			found = bpf_map_lookup_elem(fd, &zero, value) == 0;
			memcpy(ret, value, sizeof(*ret));
		}
	}
	CHECK(found);
}

/* How often the program follows a link if it finds each listener once. */
static uint64_t count_links(const struct group_bpf__bss *variables)
{
	uint64_t n = 0;

	for (size_t i = 0; i < LISTS; i++)
		for (uint32_t at = variables->group_links[i], length = 1; at; length++) {
			n += length;
			at = variables->group_links[LISTS + at - 1];
		}
	return n;
}

/* What it takes to mark a listener does not grow with their number. */
static void marks_take_few_steps(void)
{
	enum { MANY = 4000, TESTS = 16 };
	_cleanup_free_ struct group_bpf__bss *variables = malloc(sizeof(*variables));
	uint64_t *cookies = calloc(MANY, sizeof(*cookies));
	int *fds = calloc(MANY, sizeof(*fds));

	CHECK(variables && cookies && fds);
	begin();
	for (int i = 0; i < MANY; i++)
		fds[i] = open_member(&cookies[i]);
	read_variables(variables);
	CHECK_BETWEEN(variables->group_tested, MANY, TESTS * (MANY + 2));
	CHECK_BETWEEN(count_links(variables), MANY, 2 * MANY);
	for (int i = 0; i < MANY; i++)
		mark(fds[i]);
	CHECK_BETWEEN(run_service.steer.control->n_marks, MANY, MANY + 2);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	free(cookies);
	free(fds);
}

/* Opens members until one has the cookie of @like, modulo LISTS. */
static int open_like(uint64_t like, uint64_t *ret_cookie)
{
	for (;;) {
		_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		_cleanup_close_ int member = -1;
		uint64_t cookie;

		CHECK_EQ(sockdiag_socket_cookie(fd, &cookie), 0);
		if ((cookie + 1 - like) % LISTS == 0) /* the next cookie of this processor */
			member = open_member(ret_cookie);
		if (member >= 0 && (*ret_cookie - like) % LISTS == 0)
			return TAKE_FD(member);
	}
}

/* Listeners whose marks are in one list: each has one row, and the others still have theirs when
 * one closes, be it in the middle, at the head or at the end of the list. */
static void marks_of_one_list(void)
{
	enum { N = 3, OTHERS = 8 };
	static const unsigned int order[N] = {1, 2, 0};
	uint64_t cookies[N], other;
	int fds[N], others[N * OTHERS], n = 0;

	begin();
	fds[0] = open_member(&cookies[0]);
	for (unsigned int i = 1; i < N; i++)
		fds[i] = open_like(cookies[0], &cookies[i]);
	for (unsigned int i = 0; i < N; i++) {
		close(fds[order[i]]);
		for (int k = 0; k < OTHERS; k++) {
			others[n++] = open_member(&other);
			CHECK_EQ(count_rows(other), 1);
		}
		CHECK_EQ(count_rows(cookies[order[i]]), 0);
		for (unsigned int left = i + 1; left < N; left++) {
			mark(fds[order[left]]);
			CHECK_EQ(count_rows(cookies[order[left]]), 1);
		}
	}
	CHECK_BETWEEN(run_service.steer.control->n_marks, n, n + 2);
	while (n > 0)
		close(others[--n]);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(list_while_others_close),
	        CHECK_CASE(marks_are_used_again),
	        CHECK_CASE(marks_take_few_steps),
	        CHECK_CASE(marks_of_one_list),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
