/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/cgroup against real cgroups and processes that misbehave. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/binder.h"
#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "beds/socket_bed.h"
#include "check/check.h"
#include "check/folder.h"
#include "kern/cgroup_limit.h"
#include "kern/cgroup_service.h"
#include "kern/mounts.h"
#include "kern/sockdiag.h"

#define BOMB 1000 /* processes */

/* ---- What children do ---- */

static void run_in(int fd)
{
	shared->fd = cgroup_bed_enter(fd) ? 1 : -1;
	children_hold(-1);
}

static void run_and_exit(int fd)
{
	cgroup_bed_enter(fd);
}

static _Atomic int *forks; /* shared with all children */

/* Each process forks until BOMB processes were forked. */
static void run_bomb(int fd)
{
	signal(SIGTERM, SIG_IGN);
	cgroup_bed_enter(fd);
	for (;;) {
		if (atomic_fetch_add(forks, 1) >= BOMB)
			pause();
		if (fork() == 0)
			setsid();
	}
}

static void run_resident(int fd)
{
	const size_t size = 32u << 20;
	char *memory = malloc(size);

	cgroup_bed_enter(fd);
	memset(memory, 1, size);
	shared->fd = memory[size - 1];
	children_hold(-1);
}

static void run_listen_in(int fd)
{
	struct rpd_endpoint e = socket_bed_loopback();

	cgroup_bed_enter(fd);
	socket_bed_n = 0;
	if (socket_bed_listen(&e, 1) >= 0)
		shared->fd = e.port;
	children_hold(-1);
}

/* Becomes a unit with a delegated cgroup, and looks up the cgroup of its service twice. */
static void run_as_unit(int fd)
{
	_Static_assert(ERROR_TEXT_MAX >= PATH_MAX, "a path fits in");
	char first[ERROR_TEXT_MAX], again[PATH_MAX];
	struct error err;

	cgroup_bed_enter(fd);
	shared->error = cgroup_service_find("svc", true, first, &err);
	if (shared->error == 0)
		shared->error = cgroup_service_find("svc", true, again, &err);
	if (shared->error == 0 && strcmp(first, again) != 0)
		shared->error = -ENOTUNIQ;
	memcpy(shared->text, shared->error ? err.text : first, sizeof(shared->text));
	shared->stop = true;
	children_hold(-1);
}

/* ---- The cases ---- */

static void make_and_remove_cgroups(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int a = -1;
	_cleanup_close_ int b = -1;
	struct error err;
	char **names = NULL;
	struct stat st;
	size_t n = 9;

	CHECK(s.fd >= 0);
	CHECK(cgroup_list_children(s.path, &names, &n) == 0 && n == 0 && !names);
	a = cgroup_make(s.path, "10-1", &err);
	b = cgroup_make(s.path, "2-7", &err);
	CHECK(a >= 0 && b >= 0);
	CHECK(cgroup_make(s.path, "2-7", &err) == -EEXIST && strstr(err.text, "2-7"));
	CHECK(cgroup_open(s.path, "2-8") == -ENOENT);
	CHECK(fstat(b, &st) == 0 && cgroup_id(b) == st.st_ino && cgroup_id(a) != cgroup_id(b));
	CHECK(cgroup_list_children(s.path, &names, &n) == 0 && n == 2);
	CHECK(!strcmp(names[0], "2-7") && !strcmp(names[1], "10-1"));
	free(names[0]);
	free(names[1]);
	free(names);
	CHECK(cgroup_remove(s.path, "2-7") == 0 && cgroup_open(s.path, "2-7") == -ENOENT);
	CHECK(cgroup_remove(s.path, "2-7") == -ENOENT);
	CHECK(!cgroup_is_populated(b));
}

static void service_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	char again[PATH_MAX], name[32], mount[PATH_MAX];
	struct error err;

	CHECK(s.fd >= 0 && mounts_find_cgroup2(mount, sizeof(mount)) == 0);
	CHECK(!strncmp(s.path, mount, strlen(mount)) && strstr(s.path, "/reuseportd/check-"));
	snprintf(name, sizeof(name), "check-%d", getpid());
	CHECK(cgroup_service_find(name, false, again, &err) == 0 && !strcmp(again, s.path));
	CHECK(cgroup_service_find(name, true, again, &err) == 0 && !strcmp(again, s.path));
	CHECK(cgroup_service_remove(s.path) == 0 && access(s.path, F_OK) < 0);
	CHECK(cgroup_service_find(name, false, again, &err) == -ENOENT && strstr(err.text, name));
	CHECK(cgroup_service_find("no/such", true, again, &err) == -ENOENT);
	CHECK(strstr(err.text, "no/such"));
}

static void delegated_unit(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int unit = -1;
	_cleanup_close_ int leaf = -1;
	_cleanup_free_ uint32_t *pids = NULL;
	char expected[PATH_MAX + 64];
	struct error err;
	uint32_t pid;
	size_t n;

	unit = cgroup_make(s.path, "x.service", &err);
	CHECK(unit >= 0 && fsetxattr(unit, "trusted.delegate", "1", 1, 0) == 0);
	pid = children_start(run_as_unit, unit);
	CHECK_UNTIL(shared->stop);
	CHECK(shared->error == 0);
	snprintf(expected, sizeof(expected), "%s/x.service/reuseportd/svc", s.path);
	CHECK(!strcmp(shared->text, expected));
	leaf = openat(unit, "supervisor", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(leaf >= 0 && cgroup_list_processes(leaf, &pids, &n) == 0 && n == 1 && pids[0] == pid);
	CHECK(cgroup_service_remove(expected) == 0);
	CHECK(cgroup_open(expected, "..") == -ENOENT);
}

/* Whether these are all processes in cgroup @fd and below. */
static bool processes_are(int fd, const uint32_t *expected, size_t n_expected)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t n = 0;

	return cgroup_list_processes(fd, &pids, &n) == 0 && n == n_expected &&
	       (n_expected == 0 ? !pids : !memcmp(pids, expected, n * sizeof(*pids)));
}

static void processes_of_a_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	_cleanup_close_ int nested = -1;
	uint32_t pids[2];

	CHECK(worker >= 0 && mkdirat(worker, "nested", 0755) == 0);
	nested = openat(worker, "nested", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(processes_are(worker, NULL, 0));
	pids[0] = children_start(run_in, nested);
	CHECK_UNTIL(shared->fd == 1);
	shared->fd = 0;
	pids[1] = children_start(run_in, worker);
	CHECK_UNTIL(shared->fd == 1);
	CHECK(processes_are(nested, pids, 1));
	if (pids[0] > pids[1]) { /* pids wrap around */
		const uint32_t first = pids[1];

		pids[1] = pids[0];
		pids[0] = first;
	}
	CHECK(processes_are(worker, pids, 2) && processes_are(s.fd, pids, 2));
	CHECK(cgroup_remove(s.path, "0-1") == -EBUSY);
	CHECK(cgroup_kill(worker) == 0);
	CHECK_UNTIL(processes_are(worker, NULL, 0));
}

static void populated_events(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	_cleanup_close_ int events = cgroup_open_events(worker);
	_cleanup_close_ int epfd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLPRI};

	CHECK(events >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, events, &event) == 0);
	CHECK(!cgroup_is_populated(events) && !cgroup_is_populated(worker));
	CHECK(epoll_wait(epfd, &event, 1, 0) == 0);
	children_start(run_in, worker);
	CHECK(epoll_wait(epfd, &event, 1, DEADLINE_S * 1000) == 1 && (event.events & EPOLLPRI));
	CHECK(cgroup_is_populated(worker) && cgroup_is_populated(events));
	CHECK(epoll_wait(epfd, &event, 1, 0) == 0);
	CHECK(cgroup_kill(worker) == 0);
	CHECK(epoll_wait(epfd, &event, 1, DEADLINE_S * 1000) == 1);
	CHECK(!cgroup_is_populated(events) && !cgroup_is_populated(worker));
}

/* A zombie does not keep a cgroup populated. */
static void zombie_does_not_hold_a_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	const uint32_t pid = children_start(run_and_exit, worker);
	siginfo_t info;

	CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK_UNTIL(!cgroup_is_populated(worker));
	CHECK(cgroup_remove(s.path, "0-1") == 0);
}

static void fork_bomb_is_killed(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");

	forks = children_map(sizeof(*forks));
	/* While the bomb grows, and at its largest. */
	for (int at = BOMB / 4; at <= BOMB; at += BOMB * 3 / 4) {
		atomic_store(forks, 0);
		children_start(run_bomb, worker);
		CHECK_UNTIL(atomic_load(forks) >= at);
		CHECK(cgroup_kill(worker) == 0);
		CHECK_UNTIL(!cgroup_is_populated(worker));
		CHECK(processes_are(worker, NULL, 0));
	}
	CHECK(cgroup_remove(s.path, "0-1") == 0);
}

static void nested_cgroups_are_removed(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	char path[PATH_MAX] = "a";
	int depth = 1;

	while (mkdirat(worker, path, 0755) == 0 && depth < 1000) {
		strcat(path, "/a");
		depth++;
	}
	CHECK(errno == EAGAIN && depth == 33); /* the limit that cgroup_make() sets */
	CHECK(mkdirat(worker, "b", 0755) == 0 && mkdirat(worker, "b/c", 0755) == 0);
	path[strlen(path) - 2] = '\0';
	{
		_cleanup_close_ int deepest = openat(worker, path, O_RDONLY | O_CLOEXEC);
		const uint32_t pid = children_start(run_in, deepest);

		CHECK_UNTIL(shared->fd == 1);
		CHECK(processes_are(worker, &pid, 1));
	}
	/* Nothing is removed while a process lives in it. */
	CHECK(cgroup_remove(s.path, "0-1") == -EBUSY);
	CHECK(faccessat(worker, "b/c", F_OK, 0) == 0);
	CHECK(cgroup_kill(worker) == 0);
	CHECK_UNTIL(!cgroup_is_populated(worker));
	CHECK(cgroup_remove(s.path, "0-1") == 0 && cgroup_open(s.path, "0-1") == -ENOENT);
}

static void memory_of_processes(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");

	CHECK(worker >= 0 && cgroup_measure_memory(worker) == 0);
	children_start(run_resident, worker);
	CHECK_UNTIL(shared->fd == 1);
	CHECK(cgroup_measure_memory(worker) >= 32u << 20 &&
	      cgroup_measure_memory(worker) < 4096ull << 20);
	CHECK(cgroup_measure_memory(s.fd) >= 32u << 20);
}

static void write_text(int at, const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* With the files of the memory controller, which not every host has: cached memory is not counted.
 */
static void memory_without_cache(void)
{
	_cleanup_close_ int fd = open(folder_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	write_text(fd, "memory.current", "1000000\n");
	CHECK(cgroup_measure_memory(fd) == 1000000);
	write_text(fd, "memory.stat",
	           "anon 300000\nfile 600000\nshmem 50000\ninactive_anon 350000\n"
	           "inactive_file 500000\nactive_file 50000\nslab_reclaimable 7000\n"
	           "workingset_refault_file 5\n");
	CHECK(cgroup_measure_memory(fd) == 1000000 - 557000);
	write_text(fd, "memory.stat", "inactive_file 900000\nactive_file 200000\n");
	CHECK(cgroup_measure_memory(fd) == 0);
}

static bool text_is(int fd, const char *name, const char *expected)
{
	_cleanup_close_ int file = openat(fd, name, O_RDONLY | O_CLOEXEC);
	char text[64] = "";

	return read(file, text, sizeof(text) - 1) > 0 && !strcmp(text, expected);
}

/* With the controllers, and without them. */
static void memory_and_cpu_limits(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	char path[PATH_MAX], text[512] = "";
	_cleanup_file_ FILE *file = NULL;
	struct error err = {0};

	CHECK(cgroup_limit_set(worker, 0, 0, &err) == 0);
	CHECK(mounts_find_cgroup2(path, sizeof(path)) == 0);
	strcat(path, "/cgroup.controllers");
	file = fopen(path, "re");
	CHECK(file && (fgets(text, sizeof(text), file) || feof(file)));
	if (strstr(text, "memory")) {
		CHECK(cgroup_limit_set(worker, 64 << 20, 0, &err) == 0);
		CHECK(text_is(worker, "memory.max", "67108864\n"));
	} else {
		CHECK(cgroup_limit_set(worker, 64 << 20, 0, &err) == -EOPNOTSUPP);
		CHECK(strstr(err.text, "memory"));
	}
	if (strstr(text, "cpu ")) {
		CHECK(cgroup_limit_set(worker, 0, 1500, &err) == 0);
		CHECK(text_is(worker, "cpu.max", "150000 100000\n"));
		CHECK(cgroup_limit_set(worker, 0, 0, &err) == 0);
		CHECK(text_is(worker, "cpu.max", "150000 100000\n"));
	} else {
		CHECK(cgroup_limit_set(worker, 0, 1500, &err) == -EOPNOTSUPP);
		CHECK(strstr(err.text, "cpu"));
	}
}

/* sock_diag reports the cgroup of a listener by the same number. */
static void listener_names_its_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	_cleanup_free_ struct listener *rows = NULL;
	struct error err;
	size_t n;

	children_start(run_listen_in, worker);
	CHECK_UNTIL(shared->fd > 0);
	CHECK(sockdiag_list_listeners((uint16_t)shared->fd, &rows, &n, &err) == 0 && n == 1);
	CHECK(rows[0].cgroup == cgroup_id(worker));
}

/* Of two listeners, one is on a port that the kernel has chosen. */
static void listeners_of_a_cgroup(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	_cleanup_close_ int other = cgroup_bed_worker(&s, "1-2");
	_cleanup_free_ struct listener *all = NULL;
	_cleanup_free_ struct listener *fixed = NULL;
	_cleanup_free_ struct listener *none = NULL;
	struct error err;
	size_t n;

	CHECK(binder_open((struct binder_order){.cgroup = worker}).error == 0);
	CHECK(binder_open((struct binder_order){.cgroup = worker, .port = 8080}).error == 0);
	CHECK(sockdiag_list_listeners_of(cgroup_id(worker), false, &all, &n, &err) == 0 && n == 2);
	CHECK(sockdiag_list_listeners_of(cgroup_id(worker), true, &fixed, &n, &err) == 0 && n == 1);
	CHECK(fixed[0].endpoint.port == 8080 && fixed[0].cgroup == cgroup_id(worker));
	CHECK(sockdiag_list_listeners_of(cgroup_id(other), false, &none, &n, &err) == 0 && n == 0);
}

static void cgroup_of_a_process(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed s = cgroup_bed_make();
	_cleanup_close_ int worker = cgroup_bed_worker(&s, "0-1");
	char mount[PATH_MAX], expected[2 * PATH_MAX], path[PATH_MAX];
	const uint32_t pid = children_start(run_listen_in, worker);

	CHECK_UNTIL(shared->fd > 0);
	CHECK(mounts_find_cgroup2(mount, sizeof(mount)) == 0);
	snprintf(expected, sizeof(expected), "%s/0-1", s.path + strlen(mount));
	CHECK(cgroup_of_process(pid, path, sizeof(path)) == 0);
	CHECK_MSG(!strcmp(path, expected), "%s", path);
	CHECK(cgroup_of_process(pid, path, strlen(expected)) == -ENAMETOOLONG);
	children_end();
	CHECK(cgroup_of_process(pid, path, sizeof(path)) == -ESRCH);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(make_and_remove_cgroups), CHECK_CASE(service_cgroup),
	        CHECK_CASE(delegated_unit),          CHECK_CASE(processes_of_a_cgroup),
	        CHECK_CASE(populated_events),        CHECK_CASE(zombie_does_not_hold_a_cgroup),
	        CHECK_CASE(fork_bomb_is_killed),     CHECK_CASE(nested_cgroups_are_removed),
	        CHECK_CASE(memory_of_processes),     CHECK_CASE(memory_without_cache),
	        CHECK_CASE(memory_and_cpu_limits),   CHECK_CASE(listener_names_its_cgroup),
	        CHECK_CASE(listeners_of_a_cgroup),   CHECK_CASE(cgroup_of_a_process),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
