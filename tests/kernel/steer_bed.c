/* SPDX-License-Identifier: BSD-2-Clause */
#include "steer_bed.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/close_range.h>

#include "base/cleanup.h"
#include "core/schedule_edit.h"
#include "core/schedule.h"
#include "kern/grace.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "kern/steer_members.h"
#include "kern/steer_counters.h"
#include "steer_load.h"

#define BACKLOG  4096
#define LOOPBACK 1             /* its ifindex in every network namespace */
#define CASE_S   (60 * slow()) /* a case that takes longer hangs */

/* ---- Checks ---- */

static jmp_buf end_of_case;
static char failure[2048];

void check_failed(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	int n = snprintf(failure, sizeof(failure), "%s:%d: ", base ? base + 1 : file, line);
	va_list args;

	va_start(args, format);
	vsnprintf(failure + n, sizeof(failure) - (size_t)n, format, args);
	va_end(args);
	longjmp(end_of_case, 1);
}

int64_t bed_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void bed_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* ---- The service ---- */

unsigned int bed_endpoint(struct bed *bed, int family, bool v6only)
{
	const struct rpd_endpoint endpoint = {.family = family, .v6only = v6only};
	struct error err;
	int r = steer_setup_add_endpoint(&bed->steer, &bed->pins, &endpoint, 0, &err);

	if (r < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	return (unsigned int)r;
}

/* A listener of the endpoint, whose port it fills in if that is 0. */
static int open_listener(struct rpd_endpoint *endpoint)
{
	_cleanup_close_ int fd = -1;
	const bool v6 = endpoint->family == AF_INET6;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
	struct sockaddr *sa = v6 ? (void *)&in6 : (void *)&in;
	socklen_t length = v6 ? sizeof(in6) : sizeof(in);
	const struct timeval deadline = {.tv_sec = BED_DEADLINE_S}; /* for accepted ones */
	const int on = 1, v6only = endpoint->v6only;

	fd = socket(endpoint->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0 ||
	    bind(fd, sa, length) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, sa, &length) < 0)
		return -1;
	endpoint->port = ntohs(v6 ? in6.sin6_port : in.sin_port);
	return TAKE_FD(fd);
}

unsigned int bed_stranger(struct bed *bed, unsigned int endpoint)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = bed->n_listeners};
	struct bed_listener *listener = &bed->listeners[bed->n_listeners];

	CHECK(bed->n_listeners < BED_LISTENER_MAX);
	*listener = (struct bed_listener){.endpoint = endpoint};
	listener->fd = open_listener(&bed->steer.service->endpoints[endpoint]);
	CHECK(listener->fd >= 0);
	CHECK(epoll_ctl(bed->epfd, EPOLL_CTL_ADD, listener->fd, &event) == 0);
	return bed->n_listeners++;
}

void bed_admit(struct bed *bed, unsigned int listener, unsigned int slot, const char *version)
{
	const struct bed_listener *it = &bed->listeners[listener];
	struct rpd_member member = {.slot = slot, .endpoint = it->endpoint};
	uint64_t cookie;
	struct error err;

	if (schedule_edit_fill_slot(&bed->draft, slot, version, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	member.version = bed->draft.slots[slot].version;
	CHECK_EQ(steer_socks_put(&bed->steer, it->endpoint, slot, it->fd), 0);
	cookie = steer_socks_cookie(&bed->steer, it->endpoint, slot);
	CHECK_EQ(steer_members_set(&bed->steer, cookie, &member), 0);
}

void bed_workers(struct bed *bed, unsigned int endpoint, unsigned int first, unsigned int n,
                 const char *version)
{
	for (unsigned int slot = first; slot < first + n; slot++)
		bed_admit(bed, bed_stranger(bed, endpoint), slot, version);
}

void bed_simple(struct bed *bed, unsigned int n)
{
	bed_endpoint(bed, AF_INET, false);
	bed_workers(bed, 0, 0, n, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
}

void bed_grace(void)
{
	_cleanup_grace_ struct grace grace = GRACE_NONE;
	struct error err;

	if (grace_prepare(&grace, &err) < 0 || grace_wait(&grace, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
}

void bed_apply(struct bed *bed)
{
	schedule_build(&bed->draft);
	steer_switch(&bed->steer, &bed->draft);
	bed_grace();
}

void bed_set_state(struct bed *bed, unsigned int slot, enum rpd_slot_state state)
{
	const struct slots slots = {.n = 1, .at = {slot}};
	struct error err;

	if (schedule_edit_set_state(&bed->draft, &slots, state, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	bed_apply(bed);
}

void bed_attach(struct bed *bed, unsigned int endpoint)
{
	for (unsigned int i = 0; i < bed->n_listeners; i++)
		if (bed->listeners[i].endpoint == endpoint && bed->listeners[i].fd >= 0) {
			CHECK_EQ(steer_attach(&bed->steer, endpoint, bed->listeners[i].fd), 0);
			return;
		}
	CHECK(!"a listener to attach to");
}

void bed_close(struct bed *bed, unsigned int listener)
{
	const int fd = bed->listeners[listener].fd;

	bed->listeners[listener].fd = -1;
	CHECK_EQ(close(fd), 0);
}

/* What the child is: it has @fd open, and nothing else. */
__attribute__((noreturn)) static void hold(int fd, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, 0);
	dup2(ready, 1);
	close_range(2, UINT_MAX, 0);
	if (write(1, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

void bed_give_away(struct bed *bed, unsigned int listener)
{
	const int fd = bed->listeners[listener].fd;
	int ready[2];
	char byte;

	CHECK_EQ(bed->child, 0);
	CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
	bed->child = fork();
	CHECK(bed->child >= 0);
	if (bed->child == 0)
		hold(fd, ready[1]);
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	epoll_ctl(bed->epfd, EPOLL_CTL_DEL, fd, NULL);
	bed_close(bed, listener);
}

/* ---- Counters ---- */

static const struct counters *counters(const struct bed *bed)
{
	static struct counters rows[RPD_ROW_MAX];
	struct error err;

	if (steer_counters_read(&bed->steer, rows, &err) < 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	return rows;
}

uint64_t bed_count(const struct bed *bed, unsigned int row, enum rpd_outcome outcome)
{
	return counters(bed)[row].of[outcome];
}

uint64_t bed_total(const struct bed *bed, enum rpd_outcome outcome)
{
	const struct counters *rows = counters(bed);
	uint64_t total = 0;

	for (unsigned int row = 0; row < RPD_ROW_MAX; row++)
		total += rows[row].of[outcome];
	return total;
}

uint64_t bed_sum(const struct bed *bed)
{
	uint64_t sum = 0;

	for (enum rpd_outcome outcome = 0; outcome < RPD_OUTCOME_MAX; outcome++)
		sum += bed_total(bed, outcome);
	return sum;
}

void bed_watch_runs(struct bed *bed)
{
	bed->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	CHECK(bed->stats_fd >= 0);
}

uint64_t bed_runs(const struct bed *bed)
{
	uint64_t runs = 0;

	for (unsigned int i = 0; i < bed->steer.service->n_endpoints; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		CHECK_EQ(bpf_obj_get_info_by_fd(bed->steer.prog_fd[i], &info, &size), 0);
		runs += info.run_cnt;
	}
	return runs;
}

/* ---- The environment ---- */

void bed_sysctl(const char *name, int value)
{
	char path[128], text[16];
	_cleanup_close_ int fd = -1;
	const int n = snprintf(text, sizeof(text), "%d", value);

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, (size_t)n), n);
}

void bed_add_address(const struct in6_addr *a)
{
	/* struct in6_ifreq of <linux/ipv6.h>, which does not go with <netinet/in.h>. */
	struct {
		struct in6_addr address;
		uint32_t prefix_length;
		int ifindex;
	} request = {.address = *a, .prefix_length = 128, .ifindex = LOOPBACK};
	const struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = *a};
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK(ioctl(fd, SIOCSIFADDR, &request) == 0 || errno == EEXIST);
	/* It can be used as soon as the kernel has found that nobody else has it. */
	CHECK_COMES(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0);
}

/* ---- Running cases ---- */

/* A network namespace whose loopback device is up, a bpffs that is nobody else's, and leave to
 * open many sockets. */
static bool sandbox_enter(void)
{
	struct ifreq loopback_up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	_cleanup_close_ int fd = -1;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return false;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &loopback_up) == 0;
}

static void bed_begin(struct bed *bed)
{
	struct error err;

	steer_init(&bed->steer);
	schedule_init(&bed->draft);
	bed->pins = PINS_NONE;
	bed->n_listeners = 0;
	bed->stats_fd = -1;
	bed->child = 0;
	bed->load = NULL;
	bed->epfd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(bed->epfd >= 0);
	if (pins_open_locked(&bed->pins, "bed", true, &err) != 0)
		check_failed(__FILE__, __LINE__, "%s", err.text);
	bed_sysctl("ipv4/tcp_syncookies", 1);
	bed_sysctl("ipv4/tcp_migrate_req", 0);
}

static void bed_end(struct bed *bed)
{
	struct error ignored;

	if (bed->load)
		load_abort(bed->load);
	if (bed->child > 0) {
		kill(bed->child, SIGKILL);
		waitpid(bed->child, NULL, 0);
	}
	for (unsigned int i = 0; i < bed->n_listeners; i++)
		cleanup_close(&bed->listeners[i].fd);
	steer_close(&bed->steer);
	cleanup_close(&bed->stats_fd);
	cleanup_close(&bed->epfd);
	if (bed->pins.fd >= 0)
		pins_remove(&bed->pins, STEER_FIRST_PIN, &ignored);
	pins_unlock(&bed->pins);
}

/* Nothing but this is in the function that setjmp() returns to twice. */
static void run_case(const struct check_case *it, struct bed *bed)
{
	if (setjmp(end_of_case))
		return;
	bed_begin(bed);
	it->run(bed);
}

static const char *volatile running;

/* Nothing that is stuck can be cleaned up; our end does that. */
static void on_hang(int unused)
{
	dprintf(STDOUT_FILENO, "FAILED %s: hangs\n", running);
	_exit(1);
}

/* Leaves in `failure` how it failed, if it did. */
static void run_whole_case(const struct check_case *it, struct bed *bed)
{
	failure[0] = '\0';
	running = it->name;
	alarm(CASE_S);
	run_case(it, bed);
	bed_end(bed);
}

/* With RPD_RETRY in the environment a case that fails is run once more: an emulated machine may
 * stand still in the middle of anything. */
int check_run(const struct check_case *cases, size_t n)
{
	const char *only = getenv("RPD_CASE");
	static struct bed bed;
	size_t passed = 0, failed = 0;
	bool again;

	if (!sandbox_enter()) {
		printf("FAILED sandbox: %s\n0 passed, 1 failed\n", strerror(errno));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, on_hang);
	for (size_t i = 0; i < n; i++) {
		if (only && strcmp(only, cases[i].name) != 0)
			continue;
		run_whole_case(&cases[i], &bed);
		again = failure[0] && getenv("RPD_RETRY");
		if (again) {
			printf("again: %s: %s\n", cases[i].name, failure);
			run_whole_case(&cases[i], &bed);
		}
		if (failure[0]) {
			failed++;
			printf("FAILED %s: %s\n", cases[i].name, failure);
		} else {
			passed++;
			printf("ok %s%s\n", cases[i].name, again ? ": at the second try" : "");
		}
	}
	printf("%zu passed, %zu failed\n", passed, failed);
	return failed > 0;
}
