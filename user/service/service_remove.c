/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_remove.h"

#include <errno.h>

#include "base/cleanup.h"
#include "kern/conns.h"
#include "kern/groups.h"
#include "kern/http.h"
#include "kern/own_listener.h"
#include "kern/pins.h"
#include "kern/rejoin.h"
#include "kern/sockdiag.h"
#include "kern/steer.h"
#include "kern/steer_borrowed.h"
#include "kern/steer_socks.h"
#include "service/service_endpoint.h"

/* A group that the program may be attached to. */
struct service_group {
	int fd;         /* a listener of the group; -1 = none was borrowed */
	bool unreached; /* it may have members, and none could be borrowed */
};

static void service_remove_close_groups(struct service_group groups[RPD_ENDPOINT_MAX])
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		cleanup_close(&groups[e].fd);
}

/* No process has a member of the group open, or none that can be reached: a message that no process
 * has received may have it. Joins the group for a moment instead. The kernel lets no listener join
 * if a member has SO_REUSEPORT off. */
static int service_remove_join(struct service *service, unsigned int endpoint)
{
	_cleanup_free_ struct rpd_rejoined *rows = NULL;
	struct error ignored;
	size_t n;

	rejoin(&service->steer, &rows, &n, &ignored);
	return own_listener_open(&service->steer.service->endpoints[endpoint], -1, &ignored);
}

/* Borrows a member of each group, to take the program off the group. A group without a member has
 * no program. */
static int service_remove_borrow(struct service *service, struct service_group *groups,
                                 struct error *err)
{
	int fds[RPD_ENDPOINT_MAX];
	int r = service_enter_netns(service, err);

	service_endpoint_borrow_from_workers(service, fds);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		groups[e] = (struct service_group){
		        .fd = fds[e],
		        .unreached = fds[e] < 0 && steer_has_endpoint(&service->steer, e),
		};
	for (unsigned int e = 0; r == 0 && e < RPD_ENDPOINT_MAX; e++) {
		int borrowed;

		if (!groups[e].unreached)
			continue;
		borrowed = service_endpoint_borrow(service, e, &groups[e].fd, err);
		if (borrowed < 0 && service->reachable)
			borrowed = groups[e].fd = service_remove_join(service, e);
		groups[e].unreached = borrowed < 0;
		if (borrowed < 0 && !service->reachable)
			r = borrowed;
	}
	return r;
}

/* Does the same if the pinned maps no longer name the endpoints: then the listeners in the pinned
 * socket arrays show the groups. */
static void service_remove_borrow_by_slots(struct service *service, struct service_group *groups)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct steer *steer = &service->steer;
	struct error ignored;
	size_t n = 0;

	sockdiag_list_listeners(0, &listeners, &n, &ignored);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		for (unsigned int slot = 0; slot < RPD_SLOT_MAX && groups[e].fd < 0; slot++) {
			uint64_t cookie = steer->endpoints[e].socks_fd < 0
			                          ? 0
			                          : steer_socks_cookie(steer, e, slot);

			for (size_t i = 0; cookie && groups[e].fd < 0 && i < n; i++)
				if (listeners[i].cookie == cookie)
					groups[e].fd = service_endpoint_borrow_any(
					        service, &listeners[i], 1, &ignored);
			if (cookie)
				groups[e].unreached = groups[e].fd < 0;
		}
}

/*
 * Takes the program off the groups, and the listeners out of the slots. A group that could not be
 * reached keeps both: with its slots emptied it would refuse connections.
 *
 * The slots are emptied because the kernel frees a socket array, and with it its listeners, only
 * some time after the last pin is gone; until then the next attach could not admit them. Before it
 * empties them, it waits for the last run of the program to end: that run would find no listener,
 * and with --strict refuse the connection.
 */
static void service_remove_release(struct service *service, struct service_group *groups,
                                   const struct in_force *found)
{
	bool attached = false;
	struct error ignored;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (found->state[e] == IN_FORCE_REPLACED) {
			cleanup_close(&groups[e].fd); /* its program may choose ours */
			groups[e].fd = -1;
		}
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (groups[e].fd >= 0) {
			groups[e].unreached =
			        steer_borrowed_detach(&service->steer, groups[e].fd) < 0;
			cleanup_close(&groups[e].fd); /* ours would get connections */
			groups[e].fd = -1;
			attached = true;
		}
	if (attached && grace_prepare(&service->grace, &ignored) == 0)
		grace_wait(&service->grace, &ignored);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (!groups[e].unreached)
			steer_socks_clear_all(&service->steer, e);
}

static bool service_remove_is_pin(const char *name)
{
	return steer_is_pin(name) || conns_is_pin(name) || groups_is_pin(name) || http_is_pin(name);
}

/* All that can fail comes before the first change. While the slots are being filled our program is
 * not attached, and a program in the group is that of another service: that is why filling has
 * failed. */
int service_remove(struct service *service, bool force, struct in_force *ret_found,
                   struct error *err)
{
	struct in_force found = {0};
	struct rpd_service *info = service->steer.service;
	struct service_group groups[RPD_ENDPOINT_MAX];
	bool left = false;
	int r = pins_check_removable(&service->pins, service_remove_is_pin, force, err);

	if (r < 0)
		return r;
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		groups[e] = (struct service_group){.fd = -1};
	steer_open_arrays(&service->steer, &service->pins);
	if (!info) {
		service_remove_borrow_by_slots(service, groups);
	} else if (info->stage != RPD_STAGE_FILLING) {
		r = service_remove_borrow(service, groups, err);
		if (!groups_are_known(&service->groups))
			groups_open(&service->groups, &service->steer, &service->pins);
		in_force_read(&service->groups, &service->steer, &found);
		if (r == 0 || force)
			__atomic_store_n(&info->stage, RPD_STAGE_REMOVING, __ATOMIC_RELEASE);
	}
	if (r == 0 || force) {
		service_remove_release(service, groups, &found);
		r = pins_remove(&service->pins, STEER_FIRST_PIN, err);
	}
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		left |= groups[e].unreached;
	service_remove_close_groups(groups);
	if (r < 0)
		return r;
	if (ret_found)
		*ret_found = found;
	return left ? SERVICE_GROUPS_LEFT : SERVICE_REMOVED;
}
