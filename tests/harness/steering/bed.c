/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/bed.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "base/cleanup.h"
#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "kern/grace.h"
#include "kern/steer_members.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "steering/host.h"
#include "steering/load.h"

#define BACKLOG 4096

unsigned int bed_endpoint(struct bed *bed, int family, bool v6only)
{
	const struct rpd_endpoint endpoint = {.family = family, .v6only = v6only};
	struct error err;
	int r = steer_setup_add_endpoint(&bed->steer, &bed->pins, &endpoint, bed->max_conns, &err);

	CHECK_MSG(r >= 0, "%s", err.text);
	return (unsigned int)r;
}

/* Opens a listener of the endpoint, and sets its port if that is 0. Returns -1 on failure. */
static int bed_open_listener(struct rpd_endpoint *endpoint)
{
	_cleanup_close_ int fd = -1;
	const bool v6 = endpoint->family == AF_INET6;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
	struct sockaddr *sa = v6 ? (void *)&in6 : (void *)&in;
	socklen_t length = v6 ? sizeof(in6) : sizeof(in);
	const struct timeval deadline = {.tv_sec = DEADLINE_S}; /* for accepted ones */
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

unsigned int bed_listen(struct bed *bed, unsigned int endpoint)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = bed->n_listeners};
	struct bed_listener *listener = &bed->listeners[bed->n_listeners];

	CHECK(bed->n_listeners < BED_LISTENER_MAX);
	*listener = (struct bed_listener){.endpoint = endpoint};
	listener->fd = bed_open_listener(&bed->steer.service->endpoints[endpoint]);
	CHECK(listener->fd >= 0);
	CHECK(epoll_ctl(bed->epfd, EPOLL_CTL_ADD, listener->fd, &event) == 0);
	return bed->n_listeners++;
}

void bed_admit(struct bed *bed, unsigned int listener, unsigned int slot, const char *version)
{
	const struct bed_listener *it = &bed->listeners[listener];
	struct rpd_member member = {.slot = slot, .endpoint = it->endpoint, .account = slot};
	uint64_t cookie;
	struct error err;

	CHECK_MSG(schedule_edit_fill_slot(&bed->draft, slot, version, &err) >= 0, "%s", err.text);
	member.version = bed->draft.slots[slot].version;
	CHECK_EQ(steer_socks_put(&bed->steer, it->endpoint, slot, it->fd), 0);
	cookie = steer_socks_cookie(&bed->steer, it->endpoint, slot);
	CHECK_EQ(steer_members_set(&bed->steer, cookie, &member), 0);
}

void bed_workers(struct bed *bed, unsigned int endpoint, unsigned int first, unsigned int n,
                 const char *version)
{
	for (unsigned int slot = first; slot < first + n; slot++)
		bed_admit(bed, bed_listen(bed, endpoint), slot, version);
}

void bed_start(struct bed *bed, unsigned int n)
{
	bed_endpoint(bed, AF_INET, false);
	bed_workers(bed, 0, 0, n, RPD_FIRST_LABEL);
	bed_apply(bed);
	bed_attach(bed, 0);
}

void bed_start_versions(struct bed *bed, unsigned int n, const char *a, const char *b)
{
	bed_endpoint(bed, AF_INET, false);
	bed_workers(bed, 0, 0, n, a);
	bed_workers(bed, 0, n, n, b);
	bed_apply(bed);
	bed_attach(bed, 0);
}

void bed_grace(void)
{
	_cleanup_grace_ struct grace grace = GRACE_NONE;
	struct error err;

	CHECK_MSG(grace_prepare(&grace, &err) >= 0 && grace_wait(&grace, &err) >= 0, "%s",
	          err.text);
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

	CHECK_MSG(schedule_edit_set_state(&bed->draft, &slots, state, &err) >= 0, "%s", err.text);
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

/* The child: it has @fd open, and nothing else. */
__attribute__((noreturn)) static void bed_hold(int fd, int ready)
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
		bed_hold(fd, ready[1]);
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	epoll_ctl(bed->epfd, EPOLL_CTL_DEL, fd, NULL);
	bed_close(bed, listener);
}

static struct bed the_bed;

static void bed_end(void)
{
	struct bed *bed = &the_bed;
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

struct bed *bed_new(void)
{
	struct bed *bed = &the_bed;
	struct error err;

	steer_init(&bed->steer);
	schedule_init(&bed->draft);
	bed->pins = PINS_NONE;
	bed->max_conns = 0;
	bed->n_listeners = 0;
	bed->stats_fd = -1;
	bed->child = 0;
	bed->load = NULL;
	bed->epfd = epoll_create1(EPOLL_CLOEXEC);
	check_at_end(bed_end);
	CHECK(bed->epfd >= 0);
	CHECK_MSG(pins_open_locked(&bed->pins, "bed", true, &err) == 0, "%s", err.text);
	host_sysctl("ipv4/tcp_syncookies", 1);
	host_sysctl("ipv4/tcp_migrate_req", 0);
	return bed;
}
